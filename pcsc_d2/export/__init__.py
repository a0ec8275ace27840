"""A trained detector as one file that runs with torch and torchvision alone.

``pcsc export`` writes it, which needs Detectron2; ``load_archive`` reads it, which
does not, and neither does anybody who reads it without this package:

    extra = {"pcsc_d2.json": ""}
    network = torch.jit.load("model.pt", _extra_files=extra)  # after `import torchvision`
    about = json.loads(extra["pcsc_d2.json"])  # labels, clip_length, ...
    found = network(rgb, flow)  # (N, 3, T, h, w) and (N, 2, T, h, w)
    boxes, scores, classes, actionness, *more = found[0]  # of the first clip

(A file of ``pcsc export --trunks kinetics`` or ``--store`` is put together first, by this package.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcsc_d2.utils.extras import imported_on_demand

if TYPE_CHECKING:
    from pcsc_d2.models.archive import load_archive, save_archive
    from pcsc_d2.models.info import ModelError, ModelInfo

__all__ = ["ModelError", "ModelInfo", "load_archive", "save_archive"]

# Imported when they are asked for: the command says in one line what is not installed.
__getattr__ = imported_on_demand(
    __name__,
    {
        "load_archive": "pcsc_d2.models.archive",
        "save_archive": "pcsc_d2.models.archive",
        "ModelError": "pcsc_d2.models.info",
        "ModelInfo": "pcsc_d2.models.info",
    },
)
