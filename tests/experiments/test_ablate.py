"""The grid of ablations: what is trained from what, what is scored, and the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.experiments.ablate import Grid
from pcsc_d2.experiments.ablation_table import Cell, differences, table
from pcsc_d2.experiments.ablations import ROWS, with_needed
from pcsc_d2.experiments.runs import Comparison
from pcsc_d2.experiments.tables import signed
from pcsc_d2.model_zoo import get_config
from pcsc_d2.tubes import Detections, GroundTruth
from tests.experiments.stages.test_compare import PAIRS, SMALL, in_process  # noqa: F401
from tests.tiny import CONFIGS

PCSC = CONFIGS / "synthetic" / "pairs_pcsc.yaml"
BOX = (0, 0, 99, 99)
FAR = (200, 200, 219, 219)


def test_rows_bring_what_they_stand_on() -> None:
    assert with_needed(["flow_first"]) == ["reference", "flow_first"]
    assert with_needed(["fusion_boost", "within_streams"]) == [
        *("reference", "baseline", "fusion_boost", "within_streams")
    ]
    with pytest.raises(ValueError, match="no ablation 'flow_last'; there are reference, clip_4"):
        with_needed(["flow_last"])


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_a_config(name: str) -> None:
    row = ROWS[name]
    under = ROWS[row.of].options if row.of else ()
    get_config(PCSC, [*under, *row.options])
    assert not row.of or not ROWS[row.of].of
    assert row.of or not row.fitted


def options_of(options: Sequence[str]) -> dict[str, str]:
    return dict(zip(options[::2], options[1::2]))


def test_all_start_from_one_stage_0_but_those_that_see_other_clips(tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, PCSC, ("MODEL.COOPERATION.WARMUP_ITERS", "5"))
    grid = Grid(comparison, "some_test", (), (1,))
    start = grid.start(1, "flow_first")
    assert start == grid.start(1, "reference")
    assert options_of(start.options)["MODEL.COOPERATION.NUM_STAGES"] == "0"
    own = grid.start(1, "clip_4")
    assert own.folder.name == "warmup_clip_4"
    assert options_of(own.options)["INPUT.CLIP_LENGTH"] == "4"
    found = options_of(grid.training(1, "clip_4").options)
    assert found["MODEL.WEIGHTS"] == str(own.weights)
    assert options_of(grid.training(1, "flow_first").options)["MODEL.WEIGHTS"] == str(start.weights)


def cell(tmp_path: Path, name: str, found: Detections, frame: float) -> Cell:
    found.save(tmp_path / f"{name}.npz")
    return Cell({"frame": {"0.5": frame, "0.5:0.95": 1.0}}, tmp_path / f"{name}.npz")


def test_differences_are_paired(
    tmp_path: Path,
    make_detections: Callable[..., Detections],
    make_truth: Callable[..., GroundTruth],
) -> None:
    truth = make_truth([(0, 0, 1, [BOX]), (1, 0, 1, [BOX])])
    half = make_detections([(0, 1, 0, 0.9, BOX)])
    whole = make_detections([(0, 1, 0, 0.9, BOX), (1, 1, 0, 0.8, BOX)])
    reference = [cell(tmp_path, "a", half, 50.0), cell(tmp_path, "b", half, 40.0)]
    other = [cell(tmp_path, "c", whole, 53.0), cell(tmp_path, "d", whole, 45.0)]
    assert differences(reference, other, "frame 0.5") == [3, 5]
    assert differences(reference, other, "video 0.5") == []
    assert (signed([3.0, 5.0]), signed([-1.0]), signed([])) == ("+4.00 ± 1.41", "-1.00", "-")
    cells = {"reference": reference, "flow_first": other}
    text, content = table(cells, ROWS, "reference", truth)
    row = [part.strip() for part in text.splitlines()[-1].split("|")[1:-1]]
    assert row[:3] == ["flow goes first", "49.00 ± 5.66", "1.00 ± 0.00"]
    assert row[3:5] == ["-", "-"]
    assert row[5] == "+4.00 ± 1.41"
    assert row[6].startswith("+50.00 [+0.00, ")
    assert content["flow_first"]["by_video"]["difference"] == pytest.approx(50)


def test_one_command_trains_fits_scores_and_prints(
    tmp_path: Path,
    in_process: list,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    sizes = {"train": 3, "test": 1}
    generate(tmp_path, "pairs", sizes, size=(48, 64), length=(16, 16), progress=False)
    line = ["experiments", "ablate", "--config-file", str(PAIRS), "--jobs", "1", "--seeds", "5"]
    line += ["--dataset", "synthetic_pairs_test", "--out", str(tmp_path / "out")]
    line += ["--rows", "within_streams", "calibrated", "fusion_boost"]
    line += ["--fit-on", "synthetic_pairs_train", "--"]
    line += ["MODEL.COOPERATION.NUM_STAGES", "1", *(str(x) for p in SMALL.items() for x in p)]
    assert main(line) == 0
    trained = {p.parent.name for p in (tmp_path / "out" / "seed5").glob("*/model_final.pth")}
    assert trained == {"warmup", "reference", "baseline"}
    text = (tmp_path / "out" / "ablations.md").read_text()
    assert text in capsys.readouterr().out
    for title in ("as configured", "calibrated scores", "baseline, boost fusion"):
        assert f"| {title} " in text
    content = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert list(content["calibrated"]) == ["title", "scores", "by_seed", "by_video"]
    # A second call has nothing left to do: three trainings and five evaluations were it.
    assert len(in_process) == 8
    assert main(line) == 0
    assert len(in_process) == 8
