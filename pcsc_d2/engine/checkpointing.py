"""Detectron2's checkpoints, read as weights alone and written whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer as LocalCheckpointer
from torch import nn

from pcsc_d2.config import changed
from pcsc_d2.model_zoo.kinetics import KINETICS, require_kinetics
from pcsc_d2.modeling import what_is_incomplete
from pcsc_d2.utils.files import atomic_write, remove_leftovers
from pcsc_d2.utils.trust import require_trust, trusted
from pcsc_d2.utils.weights import DamagedError, load_tensors, save_tensors

logger = logging.getLogger(__name__)

FINAL = "model_final"
_LAST = "last_checkpoint"
# Formats of other projects, which Detectron2 reads as pickles.
_PICKLES = (".pkl", ".pyth")


def load_detector(cfg: CfgNode, model: nn.Module) -> None:
    """Fill a model from MODEL.WEIGHTS; ValueError says which stages they have no heads for."""
    Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    if incomplete := what_is_incomplete(cfg, model):
        raise ValueError(incomplete)


class Checkpointer(DetectionCheckpointer):
    """Detectron2's, for files that may be damaged or come from others.

    A file is read as tensors and plain values, from this machine; pickles and addresses are for
    runs that trust their files (``utils/trust.py``). A checkpoint appears under its name when it is
    whole, and one that is not is passed over when a run resumes.

    Attributes:
        resumed: the checkpoint that ``resume_or_load`` resumed from; None if there was none.
    """

    resumed: Path | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth``; OSError names it if it cannot be written."""
        if not self.save_dir or not self.save_to_disk:
            return
        content = {"model": self.model.state_dict()}
        content |= {key: each.state_dict() for key, each in self.checkpointables.items()}
        path = Path(self.save_dir, f"{name}.pth")
        logger.info("Saving checkpoint to %s", path)
        save_tensors(path, content | kwargs)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with atomic_write(Path(self.save_dir, _LAST), "w") as file:
            file.write(last_filename_basename)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """Fill the model from a file, and what was saved with it.

        Args:
            path: empty for none.
            checkpointables: what else is filled from it; None fills all.

        Returns:
            Whatever else the file holds.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read, or does more than hold weights.
        """
        if path and trusted():
            return super().load(path, checkpointables)
        if "://" in path:
            require_trust(path, "is an address, and MODEL.WEIGHTS is a file")
        if path:
            _require_file(path, "MODEL.WEIGHTS")
        # Not Detectron2's own, which reads names as addresses.
        return LocalCheckpointer.load(self, path, checkpointables)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Resume from the newest checkpoint that is whole; without one, load weights from a file.

        Args:
            path: of the weights (MODEL.WEIGHTS); empty for none.
            resume: whether to look for checkpoints.
        """
        self.resumed = None
        if self.save_dir and comm.is_main_process():
            remove_leftovers(self.save_dir, "model_*.pth")
        for checkpoint in self._newest_first() if resume else ():
            try:
                content = self.load(str(checkpoint))
            except DamagedError as error:
                logger.warning("%s; going on without it", error)
                continue
            self.resumed = checkpoint
            return content
        return self.load(path, checkpointables=[])

    def _newest_first(self) -> list[Path]:
        """The run's checkpoints, as the first rank finds them; the one written last leads."""
        folder = Path(self.save_dir)
        files: list[Path] = []
        if comm.is_main_process() and (folder / _LAST).is_file():
            last = (folder / _LAST).read_text(errors="replace").strip()
            files = sorted(
                folder.glob("model_*.pth"),
                key=lambda file: (file.name == last, file.stat().st_mtime_ns, file.name),
                reverse=True,
            )
        return comm.all_gather(files)[0]

    def _load_file(self, filename: str) -> dict[str, Any]:
        if trusted():
            return super()._load_file(filename)
        if filename.endswith(_PICKLES):
            require_trust(filename, "is a pickle, which can run code")
        loaded = load_tensors(filename)
        if isinstance(loaded, dict) and "model" not in loaded:
            loaded = {"model": loaded}
        if not isinstance(loaded, dict) or not _are_weights(loaded["model"]):
            raise ValueError(f"{filename}: holds no weights by name")
        return loaded


def require_weights(cfg: CfgNode, resume: bool) -> None:
    """Look for the files of weights that a command starts from, before what takes long.

    Args:
        resume: whether checkpoints in OUTPUT_DIR take the place of MODEL.WEIGHTS.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: the Kinetics weights are not in the cache.
    """
    files = {"MODEL.WEIGHTS": cfg.MODEL.WEIGHTS}
    if not cfg.MODEL.WEIGHTS:
        files = {f"MODEL.{s}.WEIGHTS": cfg.MODEL[s].WEIGHTS for s in ("RGB", "FLOW")}
    elif resume and any(Path(cfg.OUTPUT_DIR).glob("model_*.pth")):
        return
    for key, path in files.items():
        if path == KINETICS:
            if cfg.MODEL.BACKBONE.NAME == "build_i3d_fpn_backbone":
                require_kinetics()
        elif path and "://" not in path:
            _require_file(path, key)


def _require_file(path: str, key: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of weights ({key})")


def save_final(cfg: CfgNode, model: nn.Module) -> None:
    """Write a model that is finished and the config that evaluates it, to OUTPUT_DIR."""
    Checkpointer(model, cfg.OUTPUT_DIR).save(FINAL)
    cfg = changed(cfg, {"MODEL.WEIGHTS": str(Path(cfg.OUTPUT_DIR, f"{FINAL}.pth"))})
    with atomic_write(Path(cfg.OUTPUT_DIR, "config.yaml"), "w") as file:
        file.write(cfg.dump())


def _are_weights(model: object) -> bool:
    return isinstance(model, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in model.items()
    )
