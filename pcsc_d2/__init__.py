"""Spatio-temporal action detection by progressive cross-stream cooperation.

The backbone, the ROI heads, the meta architecture and the datasets are registered with Detectron2
when this package is imported after Detectron2, and at the latest when ``add_pcsc_config`` is
taken from it. ``pcsc_d2.layers``, ``pcsc_d2.tubes`` and ``pcsc_d2.video`` never need Detectron2,
and do not pay the seconds and the memory that importing it costs.
"""

import sys

__version__ = "0.1.0"
__all__ = ["__version__", "add_pcsc_config"]


def __getattr__(name: str) -> object:
    if name != "add_pcsc_config":
        raise AttributeError(f"module 'pcsc_d2' has no attribute {name!r}")
    from importlib.util import find_spec

    # find_spec and not try/except: a Detectron2 that is installed but broken must fail loudly.
    if find_spec("detectron2") is None:
        raise AttributeError("add_pcsc_config needs Detectron2, which is not installed")
    from pcsc_d2 import data, evaluation, modeling  # noqa: F401
    from pcsc_d2.config import add_pcsc_config

    return add_pcsc_config


if sys.modules.get("detectron2") is not None:
    from pcsc_d2 import data, evaluation, modeling  # noqa: F401
