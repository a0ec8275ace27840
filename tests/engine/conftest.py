"""Generated clips and a config for runs of a few iterations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcsc_d2.datasets.synthetic.generate import generate

# Detectron2's set-up gives these handlers that write to the run's folder.
LOGGERS = ("detectron2", "fvcore", "pcsc_d2")


@pytest.fixture(scope="session")
def generated_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset root with a few generated clips of the easy set."""
    root = tmp_path_factory.mktemp("datasets")
    sizes = {"train": 3, "test": 1}
    generate(root, "easy", sizes, size=(48, 64), length=(16, 16), progress=False)
    return root


@pytest.fixture(autouse=True)
def root(generated_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The generated clips as Detectron2's dataset root."""
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(generated_root))
    return generated_root


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(x, list(x.handlers), x.propagate, x.level) for x in loggers]
    yield
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
