"""Every subcommand says what it is for, with NumPy alone, from any folder."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pcsc_d2
from pcsc_d2.cli import main
from pcsc_d2.cli.commands import generate
from pcsc_d2.cli.registry import COMMANDS, Command

ROOT = Path(pcsc_d2.__file__).parents[1]
BELOW = {
    "tubes": ["link", "score", "convert", "show", "average"],
    "flow": ["compute", "convert"],
    "models": ["list", "build"],
    "experiments": ["stages", "refinement", "jhmdb-splits"],
}
LINES = [[name] for name in COMMANDS] + [[n, below] for n, all_ in BELOW.items() for below in all_]
NUMPY_ALONE = """
import sys
from importlib.abc import MetaPathFinder

class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {*sys.stdlib_module_names, "numpy", "pcsc_d2"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
from pcsc_d2.cli import main
for line in eval(sys.argv[1]):
    try:
        main(line)
    except SystemExit as done:
        assert not done.code, line
"""


def test_help_of_every_subcommand_with_numpy_alone(tmp_path: Path) -> None:
    lines = [[*line, "--help"] for line in [[], *LINES]]
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_ALONE, repr(lines)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for line in LINES:
        assert f"usage: pcsc {' '.join(line)} " in done.stdout


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_help_shows_an_example(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*line, "--help"])
    _, text = capsys.readouterr().out.split("\n\n", 1)
    assert len(text.partition("\n\n")[0]) > 20
    assert f"    pcsc {' '.join(line)} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_alike(name: str) -> None:
    module = import_module(Command.module(name))
    assert callable(module.add_arguments)
    assert name in BELOW or callable(module.run)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"pcsc_d2 {pcsc_d2.__version__}\n"


def test_choices_are_those_of_the_generator() -> None:
    pytest.importorskip("av")
    from pcsc_d2.datasets.custom.write import WRITERS
    from pcsc_d2.datasets.synthetic.generate import SETS, SIZES

    assert set(generate.SETS) == set(SETS)
    assert set(generate.SPLITS) == set(SIZES)
    assert set(generate.FORMATS) == set(WRITERS)


def test_variants_are_those_of_the_experiments() -> None:
    pytest.importorskip("detectron2")
    from pcsc_d2.cli.commands.experiments import VARIANTS
    from pcsc_d2.experiments import runs

    assert list(VARIANTS) == list(runs.VARIANTS)


@pytest.mark.detectron2
def test_training_without_data_says_so_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("detectron2")
    done = subprocess.run(
        [sys.executable, "-m", "pcsc_d2", "train", "--config-file", "jhmdb/quick.yaml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "DETECTRON2_DATASETS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: jhmdb_split1_train: there is no folder")
