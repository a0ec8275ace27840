"""Where flow is kept, and flow computed before training."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from pcsc_d2.data import ClipMapper, flow_store, precompute_flow
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


def test_nothing_is_computed_ahead_where_flow_is_on_the_fly(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcsc_d2.video.FlowStore.precompute", None)
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
