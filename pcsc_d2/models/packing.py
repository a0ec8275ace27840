"""Exported files in fewer bytes: without what the Kinetics weights hold, the rest in fewer bits.

A packed file is what ``torch.jit.save`` wrote with some tensors' records taken out. A note in it
says of each how it is made again: ``base * scale``, with a scale for each row, where the base is
an array in the file or a kernel of the Kinetics weights, which are in the user's cache. Read, it
is put together in memory and then is an exported file like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np

from pcsc_d2.layers.i3d_weights import STEM
from pcsc_d2.utils.zips import TENSORS, check_zip

NOTE = "pcsc_d2_weights.json"
STORED = ("float32", "float16", "int8")
# What a file may be put together to; more than any network of this project.
_MOST_BYTES = 1 << 30


class Kernel(NamedTuple):
    """A convolution's weight in the Kinetics weights, before its norm is folded in.

    Attributes:
        name: of it there, such as ``Mixed_3b.b0.conv3d.weight``.
        channels: of the trunk; its stem is in the file where they are not 3.
    """

    name: str
    channels: int


# The Kinetics weights for so many channels, by name, as float32 arrays.
Kernels = Callable[[int], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Packed:
    """How a float32 tensor is made.

    Attributes:
        base: (rows, ...) int8, float16 or float32; or where it is.
        scale: (rows,) float32 that its rows are multiplied by; None for 1.
    """

    base: np.ndarray | Kernel
    scale: np.ndarray | None = None

    def tensor(self, kernels: Kernels) -> np.ndarray:
        """The tensor, (rows, values in a row) float32.

        Raises:
            KeyError, ValueError: there is no such kernel, or the scale has other rows.
        """
        base = self.base
        if isinstance(base, Kernel):
            base = kernels(base.channels)[base.name]
        if self.scale is None:
            return base.astype(np.float32)
        rows = base.reshape(len(self.scale), -1).astype(np.float32)
        return rows * self.scale[:, None]


def rounded(values: np.ndarray, stored: str) -> Packed:
    """A float32 tensor of two or more axes in fewer bits.

    Args:
        stored: one of ``STORED``; int8 has a scale for each row, its largest value over 127.
    """
    if stored != "int8":
        return Packed(values.astype(stored))
    rows = values.reshape(len(values), -1)
    scale = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-30)) / np.float32(127)
    return Packed(np.rint(rows / scale[:, None]).astype(np.int8), scale.astype(np.float32))


def tensor_digest(values: np.ndarray) -> str:
    """What tells a tensor's record in a file from others'."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def pack(whole: IO[bytes], packed: Mapping[str, Packed], kinetics: str, out: IO[bytes]) -> None:
    """Write an exported file without the tensors that can be made.

    Args:
        whole: the exported file.
        packed: how tensors are made, by their ``tensor_digest``; others stay as they are.
        kinetics: digest of the Kinetics weights, where kernels of theirs are named.
        out: takes the packed file.
    """
    records: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(out, "w") as file:
        top = source.namelist()[0].partition("/")[0]
        for part in source.infolist():
            content = source.read(part)
            how = packed.get(hashlib.sha256(content).hexdigest())
            if how is None:
                file.writestr(part.filename, content, part.compress_type)
                continue
            name = part.filename.partition("/")[2]
            records[name] = _written(file, f"{top}/packed/{len(records)}", how)
        note = json.dumps({"kinetics": kinetics, "records": records}, indent=1)
        file.writestr(f"{top}/extra/{NOTE}", note, zipfile.ZIP_DEFLATED)


def _written(file: zipfile.ZipFile, place: str, how: Packed) -> dict[str, Any]:
    """Write what a tensor is made of; its entry in the note."""
    entry: dict[str, Any] = {"place": place.partition("/")[2]}
    if isinstance(how.base, Kernel):
        entry["kernel"] = list(how.base)
    else:
        entry["values"] = how.base.dtype.name
        file.writestr(f"{place}.values", how.base.tobytes(), zipfile.ZIP_DEFLATED)
    if how.scale is not None:
        entry["scaled"] = True
        file.writestr(f"{place}.scale", how.scale.tobytes(), zipfile.ZIP_DEFLATED)
    return entry


def whole_file(path: str | os.PathLike[str], kinetics: Callable[[str], Kernels]) -> str | bytes:
    """An exported file as torch reads it: its path, or the bytes of a packed one put together.

    Args:
        kinetics: digest -> the Kinetics weights of that digest; asked where they are needed.

    Raises:
        ValueError, BadZipFile, KeyError: damaged, it unfolds to much more than its size, or what
            ``kinetics`` raises.
    """
    path = os.fspath(path)
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as file:
        top = file.namelist()[0].partition("/")[0] if file.namelist() else ""
        if f"{top}/extra/{NOTE}" not in file.namelist():
            return path
        check_zip(path, TENSORS)
        return _put_together(file, top, kinetics)


def kinetics_of(path: str | os.PathLike[str]) -> str:
    """The digest of the Kinetics weights that a file is filled from; empty where it is of none."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as file:
        notes = [name for name in file.namelist() if name.endswith(f"/extra/{NOTE}")]
        return json.loads(file.read(notes[0]))["kinetics"] if notes else ""


def _put_together(file: zipfile.ZipFile, top: str, kinetics: Callable[[str], Kernels]) -> bytes:
    note = json.loads(file.read(f"{top}/extra/{NOTE}"))
    kernels = kinetics(note["kinetics"]) if note["kinetics"] else _none
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        for part in file.infolist():
            if not part.filename.startswith((f"{top}/packed/", f"{top}/extra/{NOTE}")):
                made.writestr(part.filename, file.read(part), part.compress_type)
        for name, entry in note["records"].items():
            made.writestr(f"{top}/{name}", _read(file, top, entry).tensor(kernels).tobytes())
            if whole.tell() > _MOST_BYTES:
                raise ValueError(f"it would be put together to over {_MOST_BYTES >> 20} MiB")
    return whole.getvalue()


def _none(channels: int) -> Mapping[str, np.ndarray]:
    raise ValueError("it names a kernel of no known Kinetics weights")


def _read(file: zipfile.ZipFile, top: str, entry: Mapping[str, Any]) -> Packed:
    place, scale = f"{top}/{entry['place']}", None
    if entry.get("scaled"):
        scale = np.frombuffer(file.read(f"{place}.scale"), np.float32)
    if "kernel" in entry:
        kernel = Kernel(*entry["kernel"])
        if kernel.channels not in (2, 3):
            raise ValueError(f"it names a kernel for {kernel.channels!r} channels")
        if kernel == Kernel(STEM, 2):
            raise ValueError("its stem for flow is of a kind that is made no more; export it again")
        return Packed(kernel, scale)
    if entry["values"] not in STORED:
        raise ValueError(f"it holds values of type {entry['values']!r}")
    return Packed(np.frombuffer(file.read(f"{place}.values"), entry["values"]), scale)
