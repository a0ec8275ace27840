"""The recipe for MLflow and Weights & Biases is code that runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "neighbours.md"


@pytest.mark.detectron2
def test_a_writer_is_told_each_metric_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events = pytest.importorskip("detectron2.utils.events")
    from pcsc_d2.engine import Trainer

    logged: list[tuple[str, float, int]] = []
    log = lambda name, value, step: logged.append((name, value, step))  # noqa: E731
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(log_metric=log))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [recipe] = [block for block in blocks if "EventWriter" in block]
    names: dict = {}
    exec(compile(recipe, str(PAGE), "exec"), names)
    assert issubclass(names["ToldTrainer"], Trainer)
    writer = names["MlflowWriter"]()
    with events.EventStorage() as storage:
        storage.put_scalar("total_loss", 2.0)
        writer.write()
        storage.step()
        storage.put_scalar("total_loss", 1.0)
        storage.put_scalar("frame/mAP@0.5", 45.0)
        writer.write()
        writer.write()
    assert logged == [("total_loss", 2.0, 0), ("total_loss", 1.0, 1), ("frame/mAP_0.5", 45.0, 1)]
