"""Checkpoints as models: what the network sees and answers is what it saw in evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.detect import ActionDetector, ModelError, load_model
from pcsc_d2.detect.clips import resize_frames, windows
from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.sources import FileSource
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.runtime import Engine
from tests.square_model import encode, square_frames

pytestmark = pytest.mark.detectron2
detectron2 = pytest.importorskip("detectron2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training run of a tiny model leaves."""
    import torch
    from detectron2.modeling import build_model

    from tests.tiny import tiny_config

    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    flow = ["INPUT.FLOW.CACHE", "none", "INPUT.FLOW.BOUND", 1.0]  # the square moves by 2 pixels
    cfg = tiny_config(["DATASETS.TEST", ("synthetic_easy_test",), *flow])
    (folder / "config.yaml").write_text(cfg.dump())
    torch.save({"model": build_model(cfg).state_dict()}, folder / "model_final.pth")
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("in") / "v.mp4", square_frames(10, (80, 120)))


def read_config(folder: Path) -> object:
    from detectron2.config import get_cfg

    from pcsc_d2 import add_pcsc_config

    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(folder / "config.yaml"))
    return cfg


def examples(folder: Path, video: Path) -> list[dict]:
    """What evaluation feeds the network, for every frame of the video."""
    from pcsc_d2.data import ClipMapper

    common = {"file_name": str(video), "video_id": "v", "num_frames": 10, "decoding": "coded"}
    size = {"flow_key": "v", "height": 80, "width": 120, "annotations": []}
    mapper = ClipMapper(read_config(folder), is_train=False)
    return [mapper({**common, **size, "frame_index": i}) for i in range(1, 11)]


def test_the_network_sees_what_evaluation_shows_it(folder: Path, video: Path) -> None:
    import torch

    info = load_model([folder], "cpu").info
    assert (info.clip_length, info.min_size, info.flow_method) == (8, 64, "dis")
    assert info.labels[0] == "red-sway"
    expected = examples(folder, video)
    resized = resize_frames(iter(FileSource(video)), info, Profile())
    for window in windows(resized, info.clip_length, 1, 4):
        for position, number in zip(window.key_frames, window.numbers):
            part = slice(position - 4, position + 4)
            assert torch.equal(window.rgb[:, part], expected[number - 1]["rgb"])
            assert torch.equal(window.flow[:, part], expected[number - 1]["flow"])


def test_the_detections_are_those_of_evaluation(folder: Path, video: Path) -> None:
    from pcsc_d2.evaluation import detection_arrays

    model = load_model([folder / "config.yaml", folder / "model_final.pth"], "cpu")
    found = [each for *_, each in ActionDetector(model).detections(FileSource(video))]
    with np.errstate(all="raise"):
        outputs = [model.network([x])[0]["instances"] for x in examples(folder, video)[:3]]
    for each, output in zip(found, outputs):
        boxes, scores, classes = detection_arrays(output)
        assert len(scores) > 3
        np.testing.assert_allclose(each.scores, scores, atol=1e-5)
        np.testing.assert_allclose(each.boxes, boxes, atol=1e-3)
        assert each.classes.tolist() == classes.tolist()


@pytest.mark.parametrize("dense", [None, Sharing()])
def test_engines_find_the_same(
    folder: Path,
    video: Path,
    dense: Sharing | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    expected, found = (
        ActionDetector([folder], device="cpu", dense=dense, profile=Profile(), engine=engine)
        for engine in (None, "openvino")
    )
    # The trunks are small ones, which the default leaves to torch.
    assert (expected.model.engine, found.model.engine) == (Engine(), Engine("openvino"))
    pairs = zip(expected.detections(FileSource(video)), found.detections(FileSource(video)))
    for (number, _, one), (_, _, other) in pairs:
        assert len(one.scores) == len(other.scores) > 3, number
        np.testing.assert_allclose(np.sort(one.scores), np.sort(other.scores), atol=1e-4)
    for detector in (expected, found):
        parts = detector.profile.parts
        inside = [parts[name] for name in ("trunks", "pyramids", "RPNs", "heads")]
        assert [part.items for part in inside] == [parts["network"].items] * 4
        assert all(part.cpu > 0 for part in inside)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model_final.pth", b"junk", "cannot be read as weights"),
        ("config.yaml", b"MODEL: {NO_SUCH_KEY: 1}", "is no config of this version"),
        ("model_final.pth", None, "no such file"),
    ],
)
def test_checkpoints_that_cannot_be_used(
    folder: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    for file in ("config.yaml", "model_final.pth"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_model([tmp_path], "cpu")
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_that_run_code_are_not_run(folder: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path(tmp_path / "ran").touch, ())

    (tmp_path / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    (tmp_path / "model_final.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError):
        load_model([tmp_path], "cpu")
    assert not (tmp_path / "ran").exists()
