"""What the tests share: where real clips are, and which tests need Detectron2."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_DETECTRON2 = find_spec("detectron2") is not None
NEEDS_DETECTRON2 = ("data", "modeling", "evaluation", "engine")
HERE = Path(__file__).parent

collect_ignore = [] if HAS_DETECTRON2 else [str(HERE / name) for name in NEEDS_DETECTRON2]


def pytest_report_header() -> list[str]:
    lines = []
    if not HAS_DETECTRON2:
        lines.append(
            "SKIPPED: Detectron2 is not installed, so tests/{"
            + ",".join(NEEDS_DETECTRON2)
            + "} do not run"
        )
    if not os.environ.get("PCSC_TEST_DATA"):
        lines.append("SKIPPED: PCSC_TEST_DATA names no data folder, so no test reads real clips")
    return lines


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips and references; the test is skipped where there is none."""
    folder = os.environ.get("PCSC_TEST_DATA")
    if not folder:
        pytest.skip("PCSC_TEST_DATA is not set")
    if not Path(folder).is_dir():
        pytest.fail(f"PCSC_TEST_DATA={folder} is not a folder")
    return Path(folder)
