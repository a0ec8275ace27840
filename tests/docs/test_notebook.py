"""The notebook runs from its first cell to its last, on a few small clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.detectron2
pytest.importorskip("detectron2")
pytest.importorskip("ipykernel")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "pages" / "first-steps.ipynb"
# What the cell of parameters holds instead.
SMALL = """
CLIPS = {"train": 2, "val": 1, "test": 1}
LENGTH = (16, 17)
ITERATIONS = 2
FOLDER = "out"
"""


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = SMALL
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [output for output in code[-1].outputs if output.output_type == "stream"]
    printed = "".join(output.text for output in outputs)
    assert "frame mAP at IoU 0.5" in printed
    assert (tmp_path / "out" / "model" / "model_final.pth").is_file()


def test_the_notebook_is_kept_with_what_it_printed() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "frame mAP at IoU 0.5" in code[-1].outputs[0].text
    assert str(Path.home()) not in NOTEBOOK.read_text(encoding="utf-8")
