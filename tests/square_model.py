"""A model that needs no training, and small videos for it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from pcsc_d2.cli import main
from pcsc_d2.detect import ClipDetections, ModelInfo
from pcsc_d2.models.clip_model import boxes_in_frame

# What is in an output folder beside the videos' folders.
BESIDE = {".journal", "index.html", "summary.json", "tubes.csv"}
if find_spec("pyarrow") is not None:
    BESIDE |= {"tubes.parquet"}
SIDE = 24  # pixels of the square
SPEED = 2  # pixels a frame to the right


class SquareModel:
    """Finds the bright square of the key frame: a network whose answers can be known.

    Attributes:
        clips: how many clips it has seen.
        actionness: whether its detections carry it; then it is 1 while the square is on the left.
    """

    info = ModelInfo(("square", "circle"), 4, 64, 200, "dis_fast", note="finds bright squares")

    def __init__(self, actionness: bool = False) -> None:
        self.clips, self.actionness = 0, actionness

    def __call__(
        self, clips: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]
    ) -> list[ClipDetections]:
        self.clips += len(clips)
        return [self._find(rgb, flow, size) for rgb, flow in clips]

    def _find(self, rgb: Tensor, flow: Tensor, size: tuple[int, int]) -> ClipDetections:
        assert rgb.dtype == torch.uint8
        assert rgb.shape[1:] == flow.shape[1:]
        assert rgb.shape[1] == self.info.clip_length
        rows, columns = np.nonzero(rgb[:, rgb.shape[1] // 2].float().mean(0).numpy() > 160)
        boxes = torch.zeros(0, 4)
        if len(rows):
            ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            boxes = torch.tensor([ends], dtype=torch.float32)
        found = boxes_in_frame(boxes, rgb.shape[-2:], size)
        left = (found[:, 0] < size[1] / 3).astype(np.float32)
        classes = np.zeros(len(found), np.int64)
        scores = np.full(len(found), 0.9, np.float32)
        return ClipDetections(found, scores, classes, left if self.actionness else None)


def square_at(frame: int) -> list[int]:
    """The square's box in a frame, 1-based: x1 y1 x2 y2, corners inclusive."""
    x = 4 + SPEED * (frame - 1)
    return [x, 10, x + SIDE - 1, 10 + SIDE - 1]


def square_frames(count: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Dark noise with the square in it until it leaves on the right."""
    rng = np.random.default_rng(0)
    frames = []
    for frame in range(1, count + 1):
        image = rng.integers(20, 60, (*size, 3), dtype=np.uint8)
        x1, y1, x2, y2 = square_at(frame)
        image[y1 : y2 + 1, x1 : x2 + 1] = 230
        frames.append(image)
    return frames


def encode(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pixel_format: str = "",
    **options: str,
) -> Path:
    """A video of 25 frames a second, or of frames at some seconds."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        if codec == "libx264":
            stream.options = {"crf": "12"}
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format or {"mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        unit = Fraction(1, 25 if times is None else 1000)
        stream.codec_context.time_base = unit
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = i if times is None else round(times[i] / unit), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turned(path: Path) -> Path:
    """An MP4 file whose header now asks for a quarter turn."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40
    quarter_turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *quarter_turn)
    path.write_bytes(data)
    return path


@pytest.fixture
def model() -> SquareModel:
    return SquareModel()


@pytest.fixture
def square_video(tmp_path: Path) -> Path:
    """30 frames of 64 x 96 with the square in all of them."""
    folder = tmp_path / "in"
    folder.mkdir()
    return encode(folder / "square.mp4", square_frames(30))


@pytest.fixture
def run(model: SquareModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """(arguments) -> exit status of the command, with ``model`` as its model and ``out`` for it."""
    monkeypatch.setattr("pcsc_d2.detect.detector.load_model", lambda *_: model)
    (tmp_path / "model.pt").write_bytes(b"stands for a model")

    def call(*arguments: str | Path, out: Path | None = None) -> int:
        where = ["--model", tmp_path / "model.pt", "--out", out or tmp_path / "out", "--quiet"]
        return main(["detect", *(str(a) for a in (*arguments, *where))])

    return call
