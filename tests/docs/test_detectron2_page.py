"""The Python of the page for Detectron2 projects runs, from its first line to its last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("detectron2")

from pcsc_d2 import model_zoo
from pcsc_d2.datasets.synthetic.generate import generate
from tests.engine.test_train_net import SMALL

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "detectron2.md"
# The last part needs pyramids of one's own: tests/modeling/test_reuse.py has them.
OWN_STREAMS = "## Two streams of your own"


def small_config(folder: Path) -> str:
    """The config that the page names, at a size for tests and on generated clips."""
    from detectron2.config import CfgNode

    options = SMALL | {"SOLVER.EPOCHS": 1.0, "SOLVER.STEP_EPOCHS": (), "SOLVER.IMS_PER_BATCH": 12}
    cfg = model_zoo.get_config("synthetic/quick.yaml", [x for p in options.items() for x in p])
    cfg.OUTPUT_DIR = "output"
    cfg.MODEL.COOPERATION.WARMUP_ITERS = 1
    file = folder / "small.yaml"
    file.write_text(CfgNode.dump(cfg))
    return str(file)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"train": 2, "test": 1}
    generate(tmp_path / "data", "easy", sizes, size=(48, 64), length=(30, 30), progress=False)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("video.mp4").write_bytes(
        next(tmp_path.glob("data/synthetic/easy/videos/*/*")).read_bytes()
    )
    file, whole = small_config(tmp_path), model_zoo.get_config_file
    monkeypatch.setattr(
        model_zoo, "get_config_file", lambda name: file if name.endswith(".yaml") else whole(name)
    )
    text = PAGE.read_text(encoding="utf-8").partition(OWN_STREAMS)[0]
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert names["trainer"].iter == names["cfg"].SOLVER.MAX_ITER == 5
    assert len(names["outputs"]["instances"]) > 0
    at = names["predictor"].at("video.mp4", 17)["instances"]
    assert at.scores.tolist() == names["outputs"]["instances"].scores.tolist()
    assert names["model"].roi_heads.num_classes == 3
