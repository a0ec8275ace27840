"""A trained model out of whichever file it is in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.model_zoo.models import model_files
from pcsc_d2.models.clip_model import ClipModel
from pcsc_d2.models.info import ModelError


def load_model(
    model: Sequence[str | Path],
    device: str | torch.device | None = None,
    dense: Sharing | None = None,
    engine: str | None = None,
    precision: str = "float32",
    kinetics: bool = False,
) -> ClipModel:
    """Load a model for ``detect``.

    Args:
        model: one exported file, or a name of ``pcsc models list``; or a config and its weights;
            or one folder that holds ``config.yaml`` and ``model_final.pth``. The last two need
            Detectron2.
        device: where the network runs; None takes a GPU where there is one.
        dense: what neighbouring key frames share; None looks at each clip by itself.
        engine: what runs the network on a CPU, one of ``pcsc_d2.runtime.ENGINES``; None is the
            fastest that is installed and that can run it (torch on a GPU, for I3D and for small
            models).
        precision: one of ``pcsc_d2.runtime.PRECISIONS``.
        kinetics: detections of a checkpoint are to carry logits of Kinetics' classes if its RGB
            trunk is that of the Kinetics weights, as those of exported files do.

    Raises:
        ModelError: no such kind of device, nothing there, damaged, of another format, its clips
            cannot share what ``dense`` says, or Detectron2 is needed.
        EngineError: the engine is not installed, or cannot run this or here.
    """
    _check_device(device)
    paths = model_files(model)
    missing = [p for p in paths if not p.exists()]
    if missing or not 1 <= len(paths) <= 2:
        what = f"{missing[0]}: no such model" if missing else "a model is one or two files"
        raise ModelError(f"{what}; give an exported file, or config.yaml and weights")
    if len(paths) == 1 and paths[0].is_file():
        from pcsc_d2.models.exported import load_exported

        return load_exported(paths[0], device, dense, engine, precision)
    from pcsc_d2.models.checkpoint import load_checkpoint

    if len(paths) == 1:
        paths = [paths[0] / "config.yaml", paths[0] / "model_final.pth"]
        if not paths[0].is_file():
            raise ModelError(f"{model[0] or '.'}: no training run's folder (no config.yaml in it)")
    return load_checkpoint(*paths, device, dense, engine or "auto", precision, kinetics)


def _check_device(device: str | torch.device | None) -> None:
    try:
        torch.device(device or "cpu")
    except RuntimeError:
        raise ModelError(
            f"no device is called {device}; there are cpu, cuda, cuda:0, ..."
        ) from None
