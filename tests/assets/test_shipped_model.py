"""The model that comes with the package detects where Detectron2 cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.export import load_archive
from pcsc_d2.models.packing import kinetics_of
from tests.test_imports import HIDE, ROOT, RUN

# Actions whose real clips it is to name; each is a class of J-HMDB and known to Kinetics.
ACTIONS = {"golf": "golf", "pullup": "pull ups", "swing_baseball": "baseball"}


def test_is_small_and_says_what_it_is(shipped_model: Path) -> None:
    most = 25_000_000 if kinetics_of(shipped_model) else 40_000_000
    assert shipped_model.stat().st_size <= most
    _, info = load_archive(shipped_model)
    assert len(info.labels) >= 21
    assert set(ACTIONS) <= set(info.labels)
    assert info.note


def detected(videos: list[Path], out: Path, *more: str) -> None:
    """Run the command without Detectron2 and without ``--model``."""
    command = [sys.executable, "-c", HIDE + RUN, "detectron2,fvcore", "pcsc_d2.detect"]
    done = subprocess.run(
        [*command, *map(str, videos), "--out", str(out), "--quiet", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "index.html").is_file()


def test_detects_without_detectron2(shipped_model: Path, tmp_path: Path) -> None:
    folder = generate(tmp_path / "data", "easy", {"train": 0, "val": 0, "test": 1}, progress=False)
    detected([folder / "videos" / "test"], tmp_path / "out", "--every", "8")
    assert (tmp_path / "out" / "0000" / "annotated.mp4").stat().st_size > 0


def test_golf_is_golf(shipped_model: Path, real_data: Path, tmp_path: Path) -> None:
    videos = [sorted((real_data / "jhmdb" / "videos" / name).glob("*.mp4"))[0] for name in ACTIONS]
    detected(videos, tmp_path, "--every", "8", "--kinetics")
    for video, (label, word) in zip(videos, ACTIONS.items()):
        tubes = json.loads((tmp_path / video.stem / "tubes.json").read_text())["tubes"]
        best = max(tubes, key=lambda tube: tube["score"])
        assert best["label"] == label
        assert any(word in guess["label"] for guess in best["kinetics"])
