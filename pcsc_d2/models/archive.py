"""The exported file: a TorchScript archive with a note about what it holds."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

import torch

# Its operators (NMS, ROIAlign) have to be registered before an archive is read.
import torchvision  # noqa: F401

from pcsc_d2.utils.files import atomic_write

FORMAT = 2
METADATA = "pcsc_d2.json"


class ExportError(ValueError):
    """A file that cannot be used; one line that names it and says what to do."""


@dataclass(frozen=True)
class ExportInfo:
    """What must be known to feed an exported network, and to read its answers.

    Attributes:
        labels: class names, by class number.
        clip_length: T, frames at stride 1 around the key frame, which is frame T // 2.
        min_size, max_size: pixels of the shorter side that clips are resized to, and the most that
            the longer side may have.
        flow_method: a name that ``pcsc_d2.flow.methods`` knows.
        context: frames at either end of the T that only the levels up to c3 see; with 10, a window
            gives what its clips give, with 0 it does not quite (see ``layers/window_trunk.py``).
        actionness: whether detections carry it.
        actionness_threshold, actionness_window: how tubes are refined with it, as chosen when it
            was trained; a window of 0 frames if the model does not say.
        note: what the model is, for people.
        device: kind of device that it was traced on and runs on, ``"cpu"`` or ``"cuda"``.
    """

    labels: tuple[str, ...]
    clip_length: int
    min_size: int
    max_size: int
    flow_method: str
    context: int = 0
    actionness: bool = False
    actionness_threshold: float = 0.0
    actionness_window: int = 0
    note: str = ""
    device: str = "cpu"


def save_archive(
    network: torch.jit.ScriptModule, info: ExportInfo, path: str | os.PathLike[str]
) -> None:
    """Write a network from ``tracing.to_network``; nothing half-written is left."""
    about = json.dumps({"format": FORMAT, **asdict(info)}, indent=1)
    with warnings.catch_warnings(), atomic_write(Path(path)) as file:
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(network, file, _extra_files={METADATA: about})


def load_archive(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[torch.jit.ScriptModule, ExportInfo]:
    """The network, in evaluation mode, and what it is.

    Raises:
        ExportError: no such file, not an exported model, of a format that this version does not
            read, or made for another kind of device.
    """
    if not Path(path).is_file():
        raise ExportError(f"{path}: no such file")
    extra = {METADATA: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            network = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    except (RuntimeError, ValueError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"{path}: not a model that pcsc_d2.export wrote ({reason})") from None
    info = _read_info(path, extra[METADATA])
    kind = torch.device(device).type
    if kind != info.device:
        raise ExportError(
            f"{path}: was exported to run on {info.device}, not on {kind}; "
            f"export it again with MODEL.DEVICE {kind}, or run it on {info.device}"
        )
    return network.eval(), info


def _read_info(path: str | os.PathLike[str], text: str | bytes) -> ExportInfo:
    if not text:
        raise ExportError(f"{path}: a TorchScript file, but not one that pcsc_d2.export wrote")
    about = json.loads(text)
    if about.pop("format", None) != FORMAT:
        raise ExportError(f"{path}: of another format than {FORMAT}; export the model again")
    missing = [f.name for f in fields(ExportInfo) if f.default is MISSING and f.name not in about]
    if missing:
        raise ExportError(f"{path}: its {METADATA} does not say its {', '.join(missing)}")
    known = {f.name: about[f.name] for f in fields(ExportInfo) if f.name in about}
    return ExportInfo(**(known | {"labels": tuple(known["labels"])}))
