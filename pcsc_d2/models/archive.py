"""The exported file: a TorchScript archive with a note about what it holds."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import torch

# Its operators (NMS, ROIAlign) have to be registered before an archive is read.
import torchvision  # noqa: F401

from pcsc_d2.model_zoo.kinetics import kinetics_kernels
from pcsc_d2.models.admission import check_operators, check_parts, reader_of
from pcsc_d2.models.info import ModelError, ModelInfo
from pcsc_d2.models.metadata import from_json, to_json
from pcsc_d2.models.packing import Kernels, Packed, pack, whole_file
from pcsc_d2.models.trial import remember, require_harmless
from pcsc_d2.utils.files import atomic_write
from pcsc_d2.utils.text import one_line
from pcsc_d2.utils.trust import UntrustedError
from pcsc_d2.utils.weights import torch_writes

METADATA = "pcsc_d2.json"


def save_archive(
    network: torch.jit.ScriptModule,
    info: ModelInfo,
    path: str | os.PathLike[str],
    packed: Mapping[str, Packed] | None = None,
    kinetics: str = "",
) -> None:
    """Write a network from ``tracing.to_network``; nothing half-written is left.

    Args:
        packed: how tensors that are left out are made, see ``packing``; None leaves none out.
        kinetics: digest of the Kinetics weights that they are made from.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    with warnings.catch_warnings(), atomic_write(Path(path)) as file:
        # TorchScript is deprecated; its warnings are of no use to who exports.
        warnings.simplefilter("ignore")
        whole: IO[bytes] = file if packed is None else io.BytesIO()
        with torch_writes(path):
            torch.jit.save(network, whole, _extra_files={METADATA: to_json(info)})
        if packed is not None:
            pack(whole, packed, kinetics, file)
    remember(path)


def load_archive(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[torch.jit.ScriptModule, ModelInfo]:
    """The network, in evaluation mode, and what it is.

    Raises:
        ModelError: no such file, not an exported model, one that does more than networks do (see
            ``admission``), one that torch crashes on, of a format that this version does not
            read, with metadata that cannot be, made for another kind of device, or the Kinetics
            weights that it is to be filled from cannot be had.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file")
    try:
        whole = whole_file(path, lambda digest: _kernels(path, digest))
        check_parts(path, whole)
        info = _read_info(path, whole)
        _check_device(path, info, torch.device(device).type)
        require_harmless(path, whole)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(whole) if isinstance(whole, bytes) else whole
            network = torch.jit.load(file, map_location=device)
        check_operators(path, network)
    except ModelError:
        raise
    except UntrustedError as error:
        raise ModelError(str(error)) from None
    except Exception as error:  # a damaged or hostile file raises nearly anything
        reason = one_line(error) or type(error).__name__
        raise ModelError(f"{path}: not a model that pcsc export wrote ({reason})") from None
    return network.eval(), info


def _kernels(path: str | os.PathLike[str], digest: str) -> Kernels:
    try:
        return kinetics_kernels(digest)
    except (ValueError, OSError) as error:
        reason = f"is filled from the Kinetics weights, and {one_line(error, 400)}"
        raise ModelError(f"{path}: {reason}") from None


def _read_info(path: str | os.PathLike[str], whole: str | bytes) -> ModelInfo:
    reader = reader_of(whole)
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
