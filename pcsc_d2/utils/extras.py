"""Packages that only some of the work needs: imported on demand, named where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

DETECTRON2 = "git+https://github.com/facebookresearch/detectron2.git"
# Where they differ: the name to install -> the name to import.
_NAMES = {"cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml"}


def missing_package(error: ImportError, needed_by: str, extra: str) -> str | None:
    """One line that says what to install; None where the error is not about a missing package.

    Args:
        error: of the import.
        needed_by: what cannot run without the package.
        extra: of ``pip install 'pcsc_d2[extra]'``, which brings it.
    """
    if "libGL" in str(error) or "libgthread" in str(error):
        return (
            f"OpenCV finds no {str(error).partition(':')[0]} on this machine: pip uninstall "
            "opencv-python, then pip install opencv-python-headless, which does without"
        )
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in ("", "pcsc_d2"):
        return None
    install = f"pip install 'pcsc_d2[{extra}]'"
    if package == "detectron2":
        install += f", then pip install --no-build-isolation {DETECTRON2}"
    return f"{needed_by} needs {_NAMES.get(package, package)}, which is not installed: {install}"


def imported_on_demand(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package.

    Args:
        package: its ``__name__``.
        places: the module that has each name.
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name]), name)

    return get
