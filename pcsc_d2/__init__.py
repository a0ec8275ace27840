"""Spatio-temporal action detection by progressive cross-stream cooperation.

Importing the package registers the backbone, the ROI heads, the meta architecture and the
datasets with Detectron2 where Detectron2 is installed. ``pcsc_d2.layers``, ``pcsc_d2.tubes`` and
``pcsc_d2.video`` never need it.
"""

from importlib.util import find_spec

__version__ = "0.1.0"
__all__ = ["__version__"]

# find_spec and not try/except: a Detectron2 that is installed but broken must fail loudly.
if find_spec("detectron2") is not None:
    from . import data, evaluation, modeling  # noqa: F401
    from .config import add_pcsc_config

    __all__ += ["add_pcsc_config"]
