"""The actionness head trained on two processes that wait for each other's work."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.modeling import build_model
from detectron2.utils import comm

from pcsc_d2.engine.actionness import choose as choosing
from pcsc_d2.engine.actionness import train as train_actionness
from pcsc_d2.evaluation import tube_evaluator
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.model_zoo import get_config
from tests.engine.test_train_net import SMALL
from tests.ranks import LIMIT, STALL, on_ranks

# By rank, the work that takes it longer than a collective may take.
SLOW = [
    [(train_actionness, "choose"), (tube_evaluator, "link")],
    [(FlowStore, "precompute"), (choosing, "fit_once")],
]


def arguments(folder: Path, *options: str) -> argparse.Namespace:
    small = SMALL | {
        "TEST.EVAL_ALL_STAGES": False,
        "MODEL.COOPERATION.NUM_STAGES": 1,
        "SOLVER.ACTIONNESS.EPOCHS": 1,
        "SOLVER.ACTIONNESS.FOLDS": 2,
        "TEST.TUBES.MIN_LENGTH": 3,
    }
    words = [str(x) for pair in small.items() for x in pair]
    line = ["--config-file", "synthetic/quick.yaml", *options, "OUTPUT_DIR", str(folder), *words]
    return default_argument_parser().parse_args(line)


def slowly(work: Callable, seconds: float) -> Callable:
    def slow(*args: object, **kwargs: object) -> object:
        time.sleep(seconds)
        return work(*args, **kwargs)

    return slow


def train_and_stall(folder: Path, detector: Path, seconds: float) -> None:
    for place, name in SLOW[comm.get_rank()]:
        setattr(place, name, slowly(getattr(place, name), seconds))
    train_actionness.main(arguments(folder, "MODEL.WEIGHTS", str(detector)))


@pytest.mark.parametrize(
    ("seconds", "limit"), [(STALL, LIMIT), pytest.param(90, 45, marks=pytest.mark.nightly)]
)
def test_ranks_share_the_work_and_wait_for_it(
    seconds: float, limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    detector, args = tmp_path / "detector.pth", arguments(tmp_path / "alone")
    torch.save(
        {"model": build_model(get_config(args.config_file, args.opts)).state_dict()}, detector
    )
    on_ranks(train_and_stall, 2, tmp_path, tmp_path / "together", detector, seconds, limit=limit)
    assert len(list((tmp_path / "cache").rglob("*.zip"))) == 4
    train_actionness.main(arguments(tmp_path / "alone", "MODEL.WEIGHTS", str(detector)))
    together, alone = (tmp_path / name for name in ("together", "alone"))
    found, expected = (
        torch.load(folder / "model_final.pth", weights_only=True)["model"]
        for folder in (together, alone)
    )
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    assert (together / "refinement.json").read_text() == (alone / "refinement.json").read_text()
    results = (f / "inference" / "synthetic_easy_test" / "results.json" for f in (together, alone))
    assert len({path.read_text() for path in results}) == 1
