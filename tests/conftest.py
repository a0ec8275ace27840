"""What the tests share: where real clips are, and which tests need Detectron2."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

# Tiny models gain nothing from threads, which wait for one another on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Commands' tests load the standard library's distutils; setuptools, which TensorBoard's writer
# brings, refuses to put its own in the place of one that is loaded.
os.environ.setdefault("SETUPTOOLS_USE_DISTUTILS", "stdlib")

HAS_DETECTRON2 = find_spec("detectron2") is not None
# Small videos and tubes made on the spot, for the tests of several packages.
pytest_plugins = ["tests.videos", "tests.tube_makers", "tests.square_model", "tests.disks"]

NEEDS_DETECTRON2 = (
    "data",
    "engine",
    "evaluation",
    "experiments",
    "export",
    "modeling",
    "parallel",
)
HERE = Path(__file__).parent

collect_ignore = [] if HAS_DETECTRON2 else [str(HERE / name) for name in NEEDS_DETECTRON2]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run, last, where it is seen."""
    if not HAS_DETECTRON2:
        folders = ", ".join(f"tests/{name}" for name in NEEDS_DETECTRON2)
        terminalreporter.write_line(f"SKIPPED: Detectron2 is not installed: {folders}")
    if not os.environ.get("PCSC_TEST_DATA"):
        terminalreporter.write_line("SKIPPED: tests on real clips: PCSC_TEST_DATA names no folder")


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    """The model of the package; skipped where what it is filled from would have to be fetched."""
    pytest.importorskip("torch")
    from pcsc_d2.assets import SHIPPED_MODEL
    from pcsc_d2.model_zoo.kinetics import kinetics_file
    from pcsc_d2.models.packing import kinetics_of

    if kinetics_of(SHIPPED_MODEL) and not kinetics_file().is_file():
        pytest.skip("no Kinetics weights in the cache: pcsc weights kinetics")
    return SHIPPED_MODEL


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips and references; the test is skipped where there is none."""
    folder = os.environ.get("PCSC_TEST_DATA")
    if not folder:
        pytest.skip("PCSC_TEST_DATA is not set")
    if not Path(folder).is_dir():
        pytest.fail(f"PCSC_TEST_DATA={folder} is not a folder")
    return Path(folder)
