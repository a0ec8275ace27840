"""The whole demo, made as small as it can be."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from pcsc_d2.demo import run
from pcsc_d2.tubes import Tubes
from tests.html_page import Page


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of few clips."""
    monkeypatch.setattr(run, "CLIPS", {"train": 2, "test": 1})
    monkeypatch.setattr(run, "OWN_FRAMES", 16)


def has_all_it_links(out: Path) -> Page:
    page = Page((out / "index.html").read_text())
    absent = [address for address in page.addresses if not (out / address).exists()]
    assert not absent
    return page


def test_without_detectron2(
    small: None, shipped_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    assert run.demo(tmp_path) == 0
    page = has_all_it_links(tmp_path)
    assert page.count["video"] == 1
    assert not list(tmp_path.glob("training*"))
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "Detectron2" in line]) == 1
    assert lines[-1] == f"see {tmp_path / 'index.html'}"
    assert (tmp_path / "picture.png").stat().st_size < 1_000_000


@pytest.mark.skipif(find_spec("detectron2") is None, reason="Detectron2 is not installed")
def test_with_training(small: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert run.demo(tmp_path, ["SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "1"]) == 0
    page = has_all_it_links(tmp_path)
    assert "the 2 iterations" in page.text
    results = tmp_path / "training" / "inference" / "synthetic_easy_test"
    assert Tubes.load(results / "tubes.npz").videos.tolist() == ["test/0000"]
    told = capfd.readouterr()
    assert "chance: " in told.out
    assert "Warning" not in told.out + told.err
