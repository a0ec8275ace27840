"""Where flow is kept, and flow computed before training."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from torchvision.models.optical_flow import raft_small

from pcsc_d2.data import ClipMapper, flow_store, precompute_flow
from pcsc_d2.flow.conversion import FlowFiles
from pcsc_d2.flow.store import FlowStore
from tests.tiny import tiny_config


def folder_of(cache: str) -> Path | None:
    return flow_store(tiny_config(["INPUT.FLOW.CACHE", cache])).folder


def test_folder_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generated_root: Path
) -> None:
    assert folder_of("none") is None
    assert folder_of(str(tmp_path)) == tmp_path
    monkeypatch.setenv("DETECTRON2_DATASETS", str(generated_root))
    assert folder_of("auto") == generated_root / "flow"
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    assert folder_of("auto") == tmp_path / "cache" / "flow"


def test_cache_of_a_root_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "read_only"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert folder_of("auto") == tmp_path / "home" / "pcsc_d2" / "flow"


def test_method_of_the_config() -> None:
    assert flow_store(tiny_config(["INPUT.FLOW.METHOD", "dis_fast"])).method.name == "dis_fast"
    with pytest.raises(ValueError, match="unknown flow method 'best'"):
        flow_store(tiny_config(["INPUT.FLOW.METHOD", "best"]))
    weights = ["INPUT.FLOW.WEIGHTS", "raft.pth", "INPUT.FLOW.DEVICE", "cpu"]
    raft = flow_store(tiny_config(["INPUT.FLOW.METHOD", "raft_small", *weights])).method
    assert (raft.name, raft.weights, raft.device) == ("raft_small", "raft.pth", "cpu")


def test_form_of_the_config() -> None:
    assert flow_store(tiny_config()).bound == 20
    assert flow_store(tiny_config(["INPUT.FLOW.BOUND", 12.0])).bound == 12
    assert flow_store(tiny_config(["INPUT.FLOW.BOUND", 0.0])).bound is None


def test_flow_that_was_made_elsewhere_is_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = DatasetCatalog.get("synthetic_easy_test")[8]
    fields = tmp_path / "brox-images" / "test" / Path(clip["file_name"]).stem
    fields.mkdir(parents=True)
    red_green_blue = np.full((48, 64, 3), [128 + 32, 128 - 16, 0], np.uint8)  # u = 2, v = -1
    for i in range(15):
        cv2.imwrite(str(fields / f"{i:05d}.png"), red_green_blue[..., ::-1])
    cfg = tiny_config(["INPUT.FLOW.METHOD", "brox"])
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="no flow converted under that name"):
        flow_store(cfg)
    with pytest.raises(ValueError, match="cannot be had with CACHE none"):
        flow_store(tiny_config(["INPUT.FLOW.METHOD", "brox", "INPUT.FLOW.CACHE", "none"]))
    converting = FlowStore(tmp_path / "flow", FlowFiles("brox", tmp_path / "brox-images"))
    converting.make(clip["file_name"], clip["flow_key"], clip["decoding"])
    flow = ClipMapper(cfg, is_train=False)(clip)["flow"]
    scale = flow.shape[-1] / 64  # the frames are enlarged, and the flow with them
    assert flow[0].mean().item() == pytest.approx(2 * scale, abs=0.1 * scale)
    assert flow[1].mean().item() == pytest.approx(-1 * scale, abs=0.1 * scale)
    other = next(
        d for d in DatasetCatalog.get("synthetic_easy_test") if d["video_id"] != clip["video_id"]
    )
    assert ClipMapper(cfg, is_train=False)(other) is None  # its flow was not converted


def test_flow_is_computed_once_and_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    cfg = tiny_config(["INPUT.FLOW.CACHE", str(tmp_path)])
    names = ("synthetic_easy_test", "synthetic_easy_val", "synthetic_easy_test")
    precompute_flow(cfg, names)
    files = sorted(tmp_path.rglob("*.zip"))
    assert [f.stem for f in files] == ["0000", "0001", "0000"]
    times = [f.stat().st_mtime_ns for f in files]
    precompute_flow(cfg, names)
    assert [f.stat().st_mtime_ns for f in files] == times
    clip = DatasetCatalog.get("synthetic_easy_test")[8]
    on_the_fly = ClipMapper(tiny_config(["INPUT.FLOW.CACHE", "none"]), is_train=False)
    stored = ClipMapper(cfg, is_train=False)
    assert on_the_fly(clip)["flow"].equal(stored(clip)["flow"])


def test_raft_is_computed_ahead_and_read(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    node = "INPUT.FLOW."
    options = [node + "METHOD", "raft_small", node + "WEIGHTS", str(tmp_path / "raft.pth")]
    options += [node + "DEVICE", "cpu", node + "CACHE", str(tmp_path)]
    cfg = tiny_config(options)
    precompute_flow(cfg, ["synthetic_easy_val"])
    assert [f.relative_to(tmp_path).parts[0] for f in tmp_path.rglob("*.zip")] == ["raft_small"]
    clip = DatasetCatalog.get("synthetic_easy_val")[8]
    assert ClipMapper(cfg, is_train=False)(clip)["flow"].abs().mean() > 0
    # Without its weights it is the run that stops, not a clip that is left out.
    absent = tiny_config([*options[:3], str(tmp_path / "absent.pth"), *options[4:]])
    with pytest.raises(ValueError, match=r"absent\.pth: no such file of RAFT weights"):
        precompute_flow(absent, ["synthetic_easy_val"])
    with pytest.raises(ValueError, match=r"absent\.pth: no such file of RAFT weights"):
        ClipMapper(absent, is_train=False)(clip)


def test_nothing_is_computed_ahead_where_flow_is_on_the_fly(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcsc_d2.flow.FlowStore.precompute", None)
    precompute_flow(tiny_config(["INPUT.FLOW.CACHE", "none"]), ["synthetic_easy_test"])


def test_videos_that_fail_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    missing = {"decoding": "coded", "flow_key": "a", "file_name": str(tmp_path / "a.mp4")}
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [missing])
    with caplog.at_level(logging.WARNING, "pcsc_d2"):
        precompute_flow(tiny_config(["INPUT.FLOW.CACHE", str(tmp_path)]), ["some_set"])
    assert "1 failed" in caplog.records[-1].getMessage()
