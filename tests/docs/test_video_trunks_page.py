"""The page on other trunks: its example runs as it stands there, and S3D as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from tests.docs.test_pages import PAGES
from tests.tiny import tiny_config, tiny_input


def check(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(tiny_config(["MODEL.BACKBONE.NAME", name]))
    with EventStorage():
        losses = model([tiny_input(0)])
    sum(losses.values()).backward()
    for stream in (model.rgb, model.flow):
        gradients = [p.grad for p in stream.backbone.bottom_up.parameters()]
        assert any(g is not None and g.abs().max() > 0 for g in gradients)
    assert len(model.eval()([tiny_input(0)])[0]["instances"]) > 0


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / "video-trunks.md").read_text(), re.DOTALL)


def test_a_script_knows_a_trunk_of_its_own(tmp_path: Path) -> None:
    trunk, script = snippets()
    (tmp_path / "my_trunk.py").write_text(trunk)
    (tmp_path / "my_pcsc.py").write_text(script)
    words = ["analyze", "--config-file", "synthetic/quick.yaml", "--structure"]
    words += ["MODEL.BACKBONE.NAME", "build_swin3d_fpn_backbone"]
    done = subprocess.run(
        [sys.executable, "my_pcsc.py", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "SwinTrunk" in done.stdout


def test_swin_in_thirty_lines() -> None:
    code, _ = snippets()
    assert len([line for line in code.splitlines() if line.strip()]) <= 32
    exec(compile(code, "video-trunks.md", "exec"), {})
    check("build_swin3d_fpn_backbone")
    config = ["MODEL.BACKBONE.NAME", "build_swin3d_fpn_backbone", "MODEL.RGB.WEIGHTS", "kinetics"]
    with pytest.raises(ValueError, match="this trunk is a SwinTrunk: fill it where it is built"):
        build_model(tiny_config(config))


def test_s3d_by_name() -> None:
    check("build_s3d_fpn_backbone")
    config = ["MODEL.BACKBONE.NAME", "build_s3d_fpn_backbone", "MODEL.S3D.GATING", "yes"]
    with pytest.raises(ValueError, match=r"MODEL.S3D.GATING is one of \('auto', 'on', 'off'\)"):
        build_model(tiny_config(config))
