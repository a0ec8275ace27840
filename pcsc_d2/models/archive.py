"""The exported file: a TorchScript archive with a note about what it holds."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

# Its operators (NMS, ROIAlign) have to be registered before an archive is read.
import torchvision  # noqa: F401

from pcsc_d2.models.admission import check_operators, check_parts
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import from_json, to_json
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.trust import UntrustedError

METADATA = "pcsc_d2.json"


def save_archive(
    network: torch.jit.ScriptModule, info: ModelInfo, path: str | os.PathLike[str]
) -> None:
    """Write a network from ``tracing.to_network``; nothing half-written is left."""
    with warnings.catch_warnings(), atomic_write(Path(path)) as file:
        # TorchScript is deprecated; its warnings are of no use to who exports.
        warnings.simplefilter("ignore")
        torch.jit.save(network, file, _extra_files={METADATA: to_json(info)})


def load_archive(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[torch.jit.ScriptModule, ModelInfo]:
    """The network, in evaluation mode, and what it is.

    Raises:
        ModelError: no such file, not an exported model, one that does more than networks do (see
            ``admission``), of a format that this version does not read, with metadata that cannot
            be, or made for another kind of device.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file")
    try:
        check_parts(path)
        info = _read_info(path)
        _check_device(path, info, torch.device(device).type)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location=device)
        check_operators(path, network)
    except ModelError:
        raise
    except UntrustedError as error:
        raise ModelError(str(error)) from None
    except Exception as error:  # a damaged or hostile file raises nearly anything
        reason = one_line(error) or type(error).__name__
        raise ModelError(f"{path}: not a model that pcsc export wrote ({reason})") from None
    return network.eval(), info


def _read_info(path: str | os.PathLike[str]) -> ModelInfo:
    reader = torch._C.PyTorchFileReader(os.fspath(path))
    if not reader.has_record(f"extra/{METADATA}"):
        raise ModelError(f"{path}: a TorchScript file, but not one that pcsc export wrote")
    try:
        return from_json(reader.get_record(f"extra/{METADATA}"))
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None


def _check_device(path: str | os.PathLike[str], info: ModelInfo, kind: str) -> None:
    if kind != info.device:
        raise ModelError(
            f"{path}: was exported to run on {info.device}, not on {kind}; "
            f"export it again with MODEL.DEVICE {kind}, or run it on {info.device}"
        )
