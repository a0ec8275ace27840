"""The command of the comparison: every variant from one stage 0, scored, in tables."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.experiments import runs
from pcsc_d2.experiments.runs import Comparison
from pcsc_d2.experiments.stages import compare
from pcsc_d2.experiments.stages.differences import OUTPUTS
from tests.tiny import CONFIGS

PAIRS = CONFIGS / "synthetic" / "pairs.yaml"
SMALL = {
    "MODEL.I3D.WIDTH": 0.0625,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 10,
    "MODEL.COOPERATION.WARMUP_ITERS": 2,
    "MODEL.COOPERATION.SCORE_THRESH": 0.0,
    "INPUT.CLIP_LENGTH": 4,
    "INPUT.MIN_SIZE_TRAIN": "(48,)",
    "INPUT.MIN_SIZE_TEST": 48,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 3,
    "SOLVER.STEPS": "(2,)",
    "VIS_PERIOD": 0,
}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands run in this process, which spares importing Detectron2 for each."""
    commands = []

    def call(words: Sequence[str], log: Path, threads: int) -> None:
        commands.append(list(words))
        monkeypatch.setattr(sys, "argv", list(words))
        with suppress(SystemExit):
            runpy.run_module(words[0], run_name="__main__")

    monkeypatch.setattr(runs, "call", call)
    monkeypatch.setattr(compare, "call", call)
    return commands


def test_one_command_trains_scores_and_prints(
    tmp_path: Path, in_process: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    sizes = {"train": 3, "test": 1}
    generate(tmp_path, "pairs", sizes, size=(48, 64), length=(16, 16), progress=False)
    line = [
        "experiments",
        "stages",
        "--config-file",
        str(PAIRS),
        "--dataset",
        "synthetic_pairs_test",
        "--jobs",
        "1",
    ]
    line += ["--out", str(tmp_path / "out"), "--seeds", "5", "--variants", "baseline", "pcsc"]
    line += ["--", *(str(x) for pair in SMALL.items() for x in pair)]
    assert main(line) == 0

    seed = tmp_path / "out" / "seed5"
    assert {p.name for p in seed.iterdir()} == {"warmup", "baseline", "pcsc"}
    assert "PCSC" in capsys.readouterr().out
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "PCSC against the others" in text
    assert "over its own rgb alone" in text
    found = {p.stem for p in (seed / "pcsc" / "stages_synthetic_pairs_test").iterdir()}
    assert found == set(OUTPUTS)
    # The baseline trained on from the warm-up, and PCSC's later heads started from its stage 0.
    warm, baseline, pcsc = (
        torch.load(seed / name / "model_final.pth", weights_only=True)["model"]
        for name in ("warmup", "baseline", "pcsc")
    )
    for state in (baseline, pcsc):
        weights = {k: v for k, v in warm.items() if k.endswith("conv3d.weight")}
        moved = [(state[k] - v).abs().max().item() for k, v in weights.items()]
        assert 0 < max(moved) < 1
    assert not any("stage_heads" in k for k in baseline)
    # A second call has nothing left to do.
    assert len(in_process) == 5
    assert main(line) == 0
    assert len(in_process) == 5


def options_of(run: runs.Run) -> dict[str, str]:
    return dict(zip(run.options[::2], run.options[1::2]))


def test_variants_share_the_warmup_and_the_schedule(tmp_path: Path) -> None:
    options = ("SOLVER.MAX_ITER", "1100", "SOLVER.STEPS", "(500,600,1000)")
    comparison = Comparison(tmp_path, PAIRS, (*options, "MODEL.COOPERATION.WARMUP_ITERS", "600"))
    cfg, done = comparison.config(), 600
    warm = options_of(comparison.warmup(2))
    before = tuple(step for step in cfg.SOLVER.STEPS if step < done)
    assert (warm["SOLVER.MAX_ITER"], warm["SOLVER.STEPS"]) == (str(done), str(before))
    found = {name: options_of(comparison.variant(2, name)) for name in runs.VARIANTS}
    for name, options in found.items():
        assert options["SOLVER.MAX_ITER"] == str(1100 - done)
        assert options["SEED"] == "2"
        start = "warmup_two_rgb" if name == "two_rgb" else "warmup"
        assert options["MODEL.WEIGHTS"] == str(tmp_path / "seed2" / start / "model_final.pth")
        # Two drops of the rate are behind a variant, the third is 400 iterations off.
        rate = cfg.SOLVER.BASE_LR * cfg.SOLVER.GAMMA**2
        assert float(options["SOLVER.BASE_LR"]) == pytest.approx(rate)
        assert options["SOLVER.STEPS"] == "(400,)"
    assert found["two_rgb"]["MODEL.FLOW.SOURCE"] == "rgb"


@pytest.mark.parametrize("config", ["jhmdb/pcsc.yaml", "ucf101_24/mini_pcsc.yaml"])
def test_without_a_warmup_variants_train_all_the_way(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's configs have none."""
    trained = []
    monkeypatch.setattr(runs.Run, "train", lambda run, threads: trained.append(run))
    monkeypatch.setattr(compare, "call", lambda words, log, threads: _write_scores(words))
    options = ("SOLVER.MAX_ITER", "60", "MODEL.COOPERATION.WARMUP_ITERS", "0")
    comparison = Comparison(tmp_path, CONFIGS / config, options)
    scores = compare.run(comparison, ["baseline", "pcsc"], [3], "some_test", jobs=1)
    assert set(scores) == {"baseline", "pcsc"}
    assert [run.folder.name for run in trained] == ["baseline", "pcsc"]
    for found in map(options_of, trained):
        assert found["SOLVER.MAX_ITER"] == "60"
        assert found["SOLVER.STEPS"] == "(40, 50)"  # as the epochs have it
        assert "MODEL.WEIGHTS" not in found
        assert float(found["SOLVER.BASE_LR"]) == pytest.approx(comparison.config().SOLVER.BASE_LR)


def _write_scores(words: Sequence[str]) -> None:
    folder = Path(words[1])
    folder.mkdir(parents=True)
    (folder / f"stages_{words[2]}.json").write_text("{}")


def test_failed_run_names_its_log(tmp_path: Path) -> None:
    run = runs.Run(tmp_path / "run", tmp_path / "no.yaml", ())
    with pytest.raises(ChildProcessError, match=r"train\.log"):
        run.train(threads=1)
    assert "no.yaml" in (tmp_path / "run" / "train.log").read_text()
