"""Tables of the comparison, on scores made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pcsc_d2.experiments.stages.tables import (
    draw_curves,
    kind_table,
    recall_table,
    stage_table,
    stream_table,
    write_tables,
)
from pcsc_d2.modeling.stages.outputs import MODES


def run_scores(stages: int, ap: float) -> dict:
    """A run whose AP at 0.5 is ``ap`` at stage 0 and 10 more at each further stage."""
    frame = {
        f"{mode}/{stage}": {"AP50": ap + 10 * stage, "AP75": 1.0, "AP50 plain": ap, "AP50 still": 2}
        for mode in MODES
        for stage in range(stages + 1)
    }
    recall = {"0/rpn/union": {"all": ap}, "1/rgb/cross": {"all": 100.0}}
    return {"frame": frame, "recall": recall}


@pytest.fixture
def scores() -> dict[str, list[dict]]:
    return {
        "baseline": [run_scores(0, 20.0), run_scores(0, 22.0)],
        "pcsc": [run_scores(2, 20.0), run_scores(2, 24.0)],
    }


def test_a_row_for_each_stage_and_a_column_for_each_variant(scores: dict) -> None:
    assert stage_table(scores, "union", "AP50") == [
        [0, "21.00 ± 1.41", "22.00 ± 2.83"],
        [1, "-", "32.00 ± 2.83"],
        [2, "-", "42.00 ± 2.83"],
    ]


def test_each_stream_alone_where_it_was_scored(scores: dict) -> None:
    for run, value in zip(scores["pcsc"], (30.0, 40.0)):
        run["frame"]["flow_alone/0"] = {"AP50": value}
    assert stream_table(scores, "AP50") == [
        ["rgb", "-", "-"],
        ["flow", "-", "35.00 ± 7.07"],
    ]


def test_kinds_are_told_at_the_last_stage(scores: dict) -> None:
    assert kind_table(scores, "average")[0] == ["baseline", "21.00 ± 1.41", "2.00 ± 0.00"]
    for runs in scores.values():
        for run in runs:
            run["frame"] = {k: {"AP50": 1.0, "AP75": 1.0} for k in run["frame"]}
    assert kind_table(scores, "average") == []


def test_recall_by_origin(scores: dict) -> None:
    assert recall_table(scores["pcsc"]) == [
        ["0", "rpn", "union", "22.00 ± 2.83"],
        ["1", "rgb", "cross", "100.00 ± 0.00"],
    ]


def test_files(scores: dict, tmp_path: Path) -> None:
    text = write_tables(scores, tmp_path, "a_dataset")
    draw_curves(scores, tmp_path / "stages.png")
    assert (tmp_path / "tables.md").read_text() == text
    assert "a_dataset" in text
    assert "42.00 ± 2.83" in text
    assert json.loads((tmp_path / "tables.json").read_text()) == scores
    assert (tmp_path / "stages.png").stat().st_size > 10_000
