"""Dataset roots made on the spot, in the layout of ``datasets/README.md``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.datasets.synthetic.generate import generate, labels_of
from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.video import write_video

MakeSet = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PCSC_CACHE", raising=False)


@pytest.fixture(scope="session")
def generated_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset root with a few generated clips of the easy set."""
    root = tmp_path_factory.mktemp("datasets")
    sizes = {"train": 3, "val": 1, "test": 2}
    generate(root, "easy", sizes, size=(48, 64), length=(16, 16), progress=False)
    return root


@pytest.fixture
def root(generated_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The generated clips as Detectron2's dataset root."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(generated_root))
    return generated_root


@pytest.fixture
def make_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSet:
    """Write an easy set with known tubes, make it the dataset root, and return the root.

    Arguments are clips (video name -> frames (N, H, W, 3), or None for an absent file), the
    annotated number of frames, the annotated size, and tubes (video, class, first frame, boxes).
    """

    def make(
        clips: dict[str, np.ndarray | None],
        nframes: int,
        size: tuple[int, int],
        tubes: list[tuple[str, int, int, list]],
    ) -> Path:
        folder = tmp_path / "root" / "synthetic" / "easy"
        names = list(clips)
        for name, frames in clips.items():
            if frames is not None:
                (folder / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
                write_video(folder / "videos" / f"{name}.mp4", frames)
        folder.mkdir(parents=True, exist_ok=True)
        known_truth(names, nframes, size, tubes).save(folder / "annotations.pkl")
        monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "root"))
        return tmp_path / "root"

    return make


def known_truth(
    names: list[str],
    nframes: int,
    size: tuple[int, int],
    tubes: list[tuple[str, int, int, list]],
) -> GroundTruth:
    boxes = [box for *_, found in tubes for box in found]
    return GroundTruth(
        labels=labels_of("easy"),
        videos=np.array(names),
        nframes=np.full(len(names), nframes),
        resolution=np.tile(size, (len(names), 1)),
        tubes=Tubes(
            videos=np.array(names),
            labels=np.array(labels_of("easy")),
            video=np.array([names.index(name) for name, *_ in tubes]),
            classes=np.array([cls for _, cls, _, _ in tubes]),
            scores=np.ones(len(tubes)),
            start=np.array([start for *_, start, _ in tubes]),
            ptr=np.cumsum([0, *(len(found) for *_, found in tubes)]),
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            box_scores=np.ones(len(boxes)),
        ),
        train=[[]],
        test=[[]],
    )


@pytest.fixture
def moving_square(tmp_path: Path) -> tuple[dict, list[list[float]]]:
    """A textured picture that moves 2 right and 1 down a frame, with a white square on it.

    Returns:
        The dataset dict of frame 6 of 12, and the square's box in every frame (x1 y1 x2 y2, ends
        where the last pixel ends).
    """
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 200, (140, 180, 3)).astype(np.float32), (0, 0), 1.5)
    texture = np.clip((texture - 100) * 3 + 90, 0, 180).astype(np.uint8)
    texture[50:70, 70:100] = 255
    folder = tmp_path / "frames"
    folder.mkdir()
    boxes = []
    for i in range(12):
        x, y = 30 - 2 * i, 20 - i  # the window moves left and up, so the picture right and down
        cv2.imwrite(str(folder / f"{i:03d}.png"), texture[y : y + 80, x : x + 120])
        boxes.append([70.0 - x, 50.0 - y, 100.0 - x, 70.0 - y])
    clip = {
        "file_name": str(folder),
        "video_id": "square",
        "frame_index": 6,
        "num_frames": 12,
        "decoding": "coded",
        "flow_key": "square",
        "height": 80,
        "width": 120,
        "annotations": [{"bbox": boxes[5], "bbox_mode": 0, "category_id": 2}],
    }
    return clip, boxes
