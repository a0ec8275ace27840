"""The models by name: one table of them, found where they are, built step by step."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pcsc_d2.assets import SHIPPED, SHIPPED_MODEL
from pcsc_d2.cli import main
from pcsc_d2.model_zoo import building, config_names, models
from pcsc_d2.model_zoo.building import steps
from pcsc_d2.model_zoo.models import model_files, table, training_run, zoo_models
from pcsc_d2.utils.files import file_digest

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "models.md"
NAMES = list(zoo_models())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PCSC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_page_has_the_table_of_the_one_file() -> None:
    (shown,) = re.findall(r"<!-- models -->\n(.*)\n<!-- /models -->", PAGE.read_text(), re.DOTALL)
    assert shown == table(), "paste what pcsc models list --markdown prints"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_model(name: str) -> None:
    model = zoo_models()[name]
    assert model.config in config_names()
    known = {"weights", "features", "train", "train-actionness", "export", "flow", "evaluate"}
    assert {command.split()[0] for command in model.commands} <= known
    for step in steps(model):
        assert "{" not in step
        for config in re.findall(r"--config-file (\S+)", step):
            assert config in config_names() or config == str(model.run / "config.yaml")
    # A score has a file, and a file a digest, or none of them is known yet.
    measured = {x is not None for x in (model.frame_50, model.video_50, model.clips)}
    assert len(measured) == 1
    assert (model.megabytes is not None) == bool(model.sha256)


def test_the_shipped_file_is_the_one_of_the_table() -> None:
    assert SHIPPED_MODEL.is_file()
    if SHIPPED in zoo_models():
        assert file_digest(SHIPPED_MODEL) == zoo_models()[SHIPPED].sha256


def test_names_become_files(cache: Path, tmp_path: Path) -> None:
    name = next(each for each in NAMES if each != SHIPPED)
    with pytest.raises(ValueError, match=f"not built yet: run pcsc models build {name}$"):
        model_files([name])
    with pytest.raises(ValueError, match=f"run pcsc models build {name}$"):
        training_run(name)
    model = zoo_models()[name]
    model.run.mkdir(parents=True)
    for file in (model.file, model.run / "config.yaml", model.run / "model_final.pth"):
        file.touch()
    assert model_files([name]) == [cache / "models" / name / f"{name}.pt"]
    assert training_run(name) == model.run
    # Files come before names, and what is no name stays a file.
    assert model_files(["other.pt"]) == [Path("other.pt")]
    assert model_files(["config.yaml", name]) == [Path("config.yaml"), Path(name)]
    with pytest.raises(ValueError, match="no training run's folder"):
        training_run(tmp_path)


def test_build_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(each for each in NAMES if each != SHIPPED)
    model, ran, failing = zoo_models()[name], [], {2}

    def run(words: list[str]) -> int:
        ran.append(words)
        if words[1] == "export":
            Path(words[words.index("--out") + 1]).write_bytes(b"a model")
        return 1 if len(ran) in failing else 0

    monkeypatch.setattr(building, "run_module", run)
    assert main(["models", "build", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"pcsc {steps(model)[1]} ended with status 1; pcsc models build {name} goes on" in line
    assert main(["models", "build", name]) == 0
    assert [words[1] for words in ran[2:]] == [step.split()[0] for step in steps(model)[1:]]
    assert f"sha256 {file_digest(model.folder / f'{name}.pt')}" in capsys.readouterr().out
    done = len(ran)
    assert main(["models", "build", name]) == 0
    assert len(ran) == done
    # An export that was changed is made again.
    changed = [*model.commands[:-1], f"{model.commands[-1]} MODEL.FUSION.NAME BoostFusion"]
    monkeypatch.setattr(models, "_FILE", _changed(model.folder, name, changed))
    assert main(["models", "build", name]) == 0
    assert len(ran) == done + 1
    # After another change all is, in a folder where no training of other settings would go on.
    changed[1] += " SOLVER.MAX_ITER 3"
    monkeypatch.setattr(models, "_FILE", _changed(model.folder, name, changed))
    assert main(["models", "build", name]) == 0
    assert len(ran) == done + 1 + len(changed)
    assert zoo_models()[name].run != model.run


def test_models_share_a_flow_trunk_of_the_same_commands() -> None:
    baseline, pcsc = zoo_models()["jhmdb-baseline"], zoo_models()["jhmdb-pcsc"]
    assert baseline.trunk == pcsc.trunk
    assert baseline.work != pcsc.work
    assert f"OUTPUT_DIR {pcsc.trunk}/all" in steps(pcsc)[1]
    commands = tuple(c.replace("flow_trunk.yaml", "flow_trunk.yaml SEED 2") for c in pcsc.commands)
    assert replace(pcsc, commands=commands).trunk != pcsc.trunk


def _changed(folder: Path, name: str, commands: list[str]) -> Path:
    about = [each for each in json.loads(models._FILE.read_text()) if each["name"] == name]
    path = folder / "models.json"
    path.write_text(json.dumps([about[0] | {"commands": commands}]))
    return path


def test_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "build", "jhmdb-pcsk"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: no model is named jhmdb-pcsk; there are {', '.join(NAMES)}"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in NAMES)
    assert main(["models", "list", "--markdown"]) == 0
    assert capsys.readouterr().out == table() + "\n"
