"""What is installed has all that its commands run."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

import pcsc_d2
from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.cli.registry import COMMANDS
from pcsc_d2.model_zoo import config_names, get_config_file

ROOT = Path(pcsc_d2.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling")
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    return zipfile.ZipFile(next(WheelBuilder(str(ROOT)).build(directory=str(folder))))


def test_wheel_holds_the_package_its_files_and_the_configs(wheel: zipfile.ZipFile) -> None:
    inside = set(wheel.namelist())
    files = {
        p for p in (ROOT / "pcsc_d2").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert {p.relative_to(ROOT).as_posix() for p in files} <= inside
    assert {f"pcsc_d2/configs/{name}" for name in config_names()} <= inside
    assert {"pcsc_d2/py.typed", f"pcsc_d2/assets/{SHIPPED_MODEL.name}"} <= inside
    assert {name.split("/")[0] for name in inside} == {
        "pcsc_d2",
        f"pcsc_d2-{pcsc_d2.__version__}.dist-info",
    }


def test_wheel_needs_numpy_alone_and_has_every_extra(wheel: zipfile.ZipFile) -> None:
    about = f"pcsc_d2-{pcsc_d2.__version__}.dist-info"
    said = wheel.read(f"{about}/METADATA").decode()
    needed = re.findall(r"^Requires-Dist: (.*)$", said, re.MULTILINE)
    assert [line for line in needed if "extra ==" not in line] == ["numpy>=1.24"]
    extras = set(re.findall(r"^Provides-Extra: (.*)$", said, re.MULTILINE))
    assert {command.extra for command in COMMANDS.values()} <= extras
    assert "License-Expression: Apache-2.0" in said
    assert "pcsc = pcsc_d2.cli:main" in wheel.read(f"{about}/entry_points.txt").decode()


def test_configs_by_name() -> None:
    assert set(config_names()) == {
        p.relative_to(ROOT / "configs").as_posix() for p in (ROOT / "configs").rglob("*.yaml")
    }
    assert Path(get_config_file("jhmdb/pcsc.yaml")).read_text().strip()
    with pytest.raises(ValueError, match=r"named jhmdb/none\.yaml; there are .*jhmdb/pcsc\.yaml"):
        get_config_file("jhmdb/none.yaml")


def test_config_with_options() -> None:
    pytest.importorskip("detectron2")
    from pcsc_d2.model_zoo import get_config

    cfg = get_config("jhmdb/pcsc.yaml", ["MODEL.COOPERATION.NUM_STAGES", 2])
    assert cfg.MODEL.COOPERATION.NUM_STAGES == 2
    with pytest.raises(ValueError, match=r"pcsc\.yaml: cannot be changed .*MODEL\.NOTHING"):
        get_config("jhmdb/pcsc.yaml", ["MODEL.NOTHING", 2])
