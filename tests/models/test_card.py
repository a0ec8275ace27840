"""The card of a model that is pushed: its measured scores, and how it is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.model_zoo.models import zoo_models
from pcsc_d2.models import card
from pcsc_d2.utils.files import file_digest
from tests.square_model import SquareModel


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(card, "load_model", lambda paths: SquareModel())
    (tmp_path / "mine.pt").write_bytes(b"weights")
    return tmp_path / "mine.pt"


def test_what_it_says(file: Path) -> None:
    text = card.model_card(file, "o/m", license_id="apache-2.0")
    head, body = text.removeprefix("---\n").split("\n---\n")
    assert "library_name: pcsc_d2" in head.splitlines()
    assert 'license: "apache-2.0"' in head.splitlines()
    assert body.splitlines()[1] == "# m"
    assert "finds bright squares" in body
    assert "pcsc detect VIDEO --model hf://o/m --out results" in body
    assert "| classes | 2: square, circle |" in body
    assert file_digest(file) in body
    assert "has not been measured" in body
    assert "license" not in card.model_card(file, "o/m")


def test_measured_scores_are_a_table(file: Path, tmp_path: Path, capsys) -> None:
    results = {"frame": {"0.5": 45.12, "0.75": None}, "video": {"0.2": 65.8, "0.5": 63.3}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    words = ["models", "push", str(file), "o/m", "--results", str(tmp_path / "results.json")]
    assert main([*words, "--card", str(tmp_path / "README.md")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'README.md'}\n"
    text = (tmp_path / "README.md").read_text()
    lines = ["| frame 0.5 | video 0.2 | video 0.5 |", "| --- | --- | --- |"]
    assert "\n".join([*lines, "| 45.1 | 65.8 | 63.3 |"]) in text


def test_a_model_of_the_list_has_its_scores(file: Path, monkeypatch) -> None:
    known = next(m for m in zoo_models().values() if m.frame_50 is not None)
    monkeypatch.setattr(card, "file_digest", lambda path: known.sha256)
    text = card.model_card(file, "o/m")
    assert f"| {known.frame_50:.1f} | {known.video_20:.1f} |" in text
    assert f"on {known.clips} test clips; trained on {known.data}" in text


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"frame": {"0.5": null}}'])
def test_what_are_no_results(file: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json: cannot be read as results"):
        card.model_card(file, "o/m", tmp_path / "results.json")
