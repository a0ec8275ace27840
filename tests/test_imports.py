"""The packages that promise to need no Detectron2 keep to it, and imports go one way only."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pcsc_d2"
UTILS = {"utils"}
LOWER = UTILS | {"pages", "layers", "runtime", "model_zoo", "tubes", "video", "flow", "datasets"}
NATIVE = {"data", "modeling", "evaluation", "parallel"}  # at home in Detectron2
ALLOWED = {
    "utils": set(),
    "layers": UTILS,
    # Reading a config needs Detectron2 when it is done, and not before.
    "model_zoo": {"layers", *UTILS},
    "runtime": {"layers", *UTILS},
    "pages": UTILS,
    "tubes": {"pages", *UTILS},
    "video": {"tubes", *UTILS},
    "flow": {"video", "tubes", *UTILS},
    "datasets": {"flow", "video", "tubes", *UTILS},
    "parallel": UTILS,
    "data": {"parallel", *LOWER},
    "modeling": {"parallel", *LOWER},
    "evaluation": {"parallel", *LOWER},
    "models": NATIVE | LOWER,
    "detect": {"models", *LOWER},
    "export": {"models", "modeling", *LOWER},
    "engine": {"models", *NATIVE, *LOWER},
    "experiments": {"detect", "engine", "models", *NATIVE, *LOWER},
    "demo": {"detect", *LOWER},
    "cli": {"demo", "detect", "export", "engine", "experiments", "models", *NATIVE, *LOWER},
}
LIBRARIES = {
    # torch for files of weights alone, which import it when they are read.
    "utils": {"numpy", "tqdm", "torch"},
    "layers": {"numpy", "torch"},
    # The engines are imported where one of them is asked for.
    "runtime": {"numpy", "torch", "onnxruntime", "openvino"},
    "pages": {"jinja2"},
    "tubes": {"numpy", "tqdm", "matplotlib"},
    "video": {"numpy", "tqdm", "cv2", "av", "PIL"},
    # torch and torchvision for RAFT alone, which imports them when it runs.
    "flow": {"numpy", "tqdm", "cv2", "torch", "torchvision"},
    "datasets": {"numpy", "tqdm", "cv2", "av", "scipy", "defusedxml"},
}
MOST_FILES = 16  # in a folder, so that a reader grasps it at a glance

# Runs with the packages named first hidden from every way to find them, as if not installed.
HIDE = """
import importlib, pkgutil, runpy, sys

HIDDEN = sys.argv[1].split(",")


class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *args):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, *args)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
IMPORT_ALL = """
package = importlib.import_module(sys.argv[2])
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
import pcsc_d2
print(len(names), hasattr(pcsc_d2, "add_pcsc_config"), *(set(HIDDEN) & set(sys.modules)))
"""
RUN = """
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def run_hidden(code: str, hidden: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HIDE + code, hidden, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("tubes", "detectron2,fvcore,torch,torchvision,cv2,av,scipy,matplotlib,jinja2"),
        ("pages", "detectron2,fvcore,torch,torchvision,cv2,av,scipy,matplotlib,jinja2"),
        ("utils", "detectron2,fvcore,torch,torchvision,cv2,av,scipy,matplotlib"),
        ("video", "detectron2,fvcore,torch,torchvision"),
        ("flow", "detectron2,fvcore,torch,torchvision"),
        ("datasets", "detectron2,fvcore,torch,torchvision"),
        ("detect", "detectron2,fvcore"),
        ("layers", "detectron2,fvcore,cv2,av"),
        ("runtime", "detectron2,fvcore,cv2,av,onnx,onnxruntime,openvino"),
    ],
)
def test_imports_without_detectron2(name: str, hidden: str) -> None:
    if name in ("layers", "detect", "runtime"):
        pytest.importorskip("torch")
    count, registered, *loaded = run_hidden(IMPORT_ALL, hidden, f"pcsc_d2.{name}").split()
    folder = PACKAGE / name
    modules = [p for p in folder.rglob("*.py") if p != folder / "__init__.py"]
    assert int(count) == len(modules)
    assert registered == "False"
    assert loaded == []


def test_tubes_run_without_detectron2_and_torch() -> None:
    out = run_hidden(RUN, "detectron2,torch,cv2,av", "pcsc_d2.tubes", "--help")
    assert "usage: pcsc tubes" in out


@pytest.mark.parametrize("name", ["detect", "export"])
def test_commands_say_what_they_are_for_without_libraries(name: str) -> None:
    hidden = "detectron2,fvcore,torch,torchvision,cv2,av"
    assert f"usage: pcsc {name}" in run_hidden(RUN, hidden, f"pcsc_d2.{name}", "--help")


def test_what_a_package_gives_is_there() -> None:
    pytest.importorskip("torch")
    for name in ("detect", "export"):
        package = import_module(f"pcsc_d2.{name}")
        assert all(getattr(package, each).__name__ == each for each in package.__all__)
        assert not hasattr(package, "absent")


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_go_one_way(name: str) -> None:
    for path in (PACKAGE / name).rglob("*.py"):
        if path.stem == "__main__":  # is the program, by another name
            assert imported(path) == {"sys", "pcsc_d2.cli", "pcsc_d2.cli.main"}
            continue
        inner = {m.split(".")[1] for m in imported(path) if m.startswith("pcsc_d2.")}
        wrong = (inner & set(ALLOWED)) - ALLOWED[name] - {name}
        assert not wrong, f"{path}: {name} may not import {wrong}"


def test_every_package_has_its_place() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders - set(ALLOWED) <= {"assets"}


def test_folders_are_small() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(files) < MOST_FILES, f"{folder}: {len(files)} files"


def test_files_do_not_import_each_other_in_circles() -> None:
    files = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.stem != "__init__"}
    graph = {name: imported(path) & set(files) for name, path in files.items()}
    while graph:
        free = {name for name, needed in graph.items() if not needed & set(graph)}
        assert free, f"these import each other: {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in free}


@pytest.mark.parametrize("name", LIBRARIES)
def test_lower_packages_need_few_libraries(name: str) -> None:
    for path in (PACKAGE / name).rglob("*.py"):
        outer = {m.split(".")[0] for m in imported(path)} - set(sys.stdlib_module_names)
        wrong = outer - LIBRARIES[name] - {"pcsc_d2"}
        assert not wrong, f"{path}: {name} may not import {wrong}"


def test_imported_modules_are_found() -> None:
    found = imported(PACKAGE / "data" / "clip_mapper.py")
    assert {"torch", "detectron2.config", "pcsc_d2.video", "pcsc_d2.data.flow_cache"} <= found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, inside functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names.add(module)
            names |= {f"{module}.{alias.name}" for alias in node.names if "pcsc_d2" in module}
    return names


LIGHT = """
import sys
import pcsc_d2.layers, pcsc_d2.tubes, pcsc_d2.video
assert "detectron2" not in sys.modules
import pcsc_d2
pcsc_d2.add_pcsc_config
from detectron2.data import DatasetCatalog
assert "jhmdb_split1_train" in DatasetCatalog.list()
"""
AFTER_DETECTRON2 = """
from detectron2.data import DatasetCatalog
import pcsc_d2
assert "jhmdb_split1_train" in DatasetCatalog.list()
"""


@pytest.mark.skipif(find_spec("detectron2") is None, reason="Detectron2 is not installed")
@pytest.mark.parametrize("code", [LIGHT, AFTER_DETECTRON2], ids=["light", "after detectron2"])
def test_registers_when_detectron2_is_used_and_not_before(code: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)
