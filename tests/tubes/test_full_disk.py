"""Linking, converting and scoring on a disk that takes no more: one line, and nothing left over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pcsc_d2 import cli
from pcsc_d2.tubes import Detections, GroundTruth
from tests.disks import small_files

BOX = (40, 40, 80, 90)
LINES = {
    "out.npz": ["link", "--detections", "d.npz", "--out", "out.npz"],
    "out.csv": ["convert", "d.npz", "out.csv"],
    "out.json": ["score", "--detections", "d.npz", "--ground-truth", "gt.pkl", "--json"],
    "out.html": ["score", "--detections", "d.npz", "--ground-truth", "gt.pkl", "--page"],
}


@pytest.fixture
def folder(
    crowd: Detections,
    make_truth: Callable[..., GroundTruth],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    crowd.save(tmp_path / "d.npz")
    make_truth([(v, 0, 3, [BOX] * 9) for v in range(4)], list("abcd"), 60).save(tmp_path / "gt.pkl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    line = LINES[name] if name in LINES[name] else [*LINES[name], name]
    assert cli.main(["tubes", *line]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("name", LINES)
def test_full(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name).write_text("old")
    before = sorted(os.listdir(folder))
    with small_files(200):
        line = told(name, capsys)
    assert line == f"error: {name}: file too large"
    assert sorted(os.listdir(folder)) == before
    assert (folder / name).read_text() == "old"


@pytest.mark.parametrize("name", LINES)
def test_read_only(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str], read_only: Callable[[], None]
) -> None:
    read_only()
    assert told(name, capsys) == f"error: {name}: read-only file system"
