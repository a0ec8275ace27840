"""Real clips through the command: UCF101's AVI, and J-HMDB's original files and MP4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pcsc_d2.video import VideoSource


@pytest.mark.parametrize(
    "pattern",
    ["ucf24/videos/*/*.avi", "jhmdb/videos/*/*.mp4", "jhmdb/original/JHMDB_video/**/*.avi"],
)
def test_a_real_clip(
    run: Callable[..., int], real_data: Path, tmp_path: Path, pattern: str
) -> None:
    path = next(iter(sorted(real_data.glob(pattern))))
    source = VideoSource(path)
    assert run(path, "--to", "0.4", "--every", "3") == 0
    folder = tmp_path / "out" / path.stem
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["height"], summary["width"]) == source.size
    assert summary["end"] == pytest.approx(0.4, abs=1.5 / source.rate)
    annotated = VideoSource(folder / "annotated.mp4")
    assert len(annotated) == summary["frames"]
    assert annotated.size[1] == source.size[1]
