"""Flow in 8 bits or half precision, and the file that holds the flow of one video.

**Codes.** u and v are clipped to +-bound pixels and rounded to 255 levels with a step of
bound / 127; code 128 is exactly 0, and mirroring (-u) is exact too. Inside the bound the end-point
error is at most bound / 127 / sqrt(2): 0.111 pixels for 20. A bound of None stands for the float
form: half precision, not clipped, eleven significant bits (0.005 pixels at 10).

**File.** A zip (members stored) with ``meta.json`` and one gray PNG a field, ``000000.png``
onwards, (2H, W): the codes of u above those of v; of floats an array ``000000.npy``, (2, H, W).
Frames are read at random, any tool shows them, and one file a video keeps folders small. On UCF101
and J-HMDB clips of 240 x 320 a field of 8-bit codes takes 13 KB instead of 150 KB for a
memory-mapped array, and 0.8 ms to read; one of floats 311 KB and 0.7 ms
(``tests/benchmarks/flow.py``). UCF101-24 takes some 7 GB rather than 80, and stays in the page
cache.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from pcsc_d2.flow.errors import FlowError
from pcsc_d2.utils.files import atomic_write, load_array
from pcsc_d2.utils.parsing import reading

FORMAT = 1
_ZERO, _LEVELS = 128, 127
_META = "meta.json"
_PNG_LEVEL = 3
# What damaged files are called, and what they cannot hold: fields or pixels, bytes of a field.
_WHAT = "a flow file of this version (remove it, if it is damaged)"
_MOST, _LARGEST_MEMBER = 1 << 24, 1 << 30
_LARGEST = float(np.finfo(np.float16).max)


def encode_flow(flow: np.ndarray, bound: float | None) -> np.ndarray:
    """Pixels (..., 2) float to codes of the same shape: uint8, or float16 without a bound."""
    if bound is None:
        return np.clip(flow, -_LARGEST, _LARGEST).astype(np.float16)
    levels = np.clip(flow * np.float32(_LEVELS / bound), -_LEVELS, _LEVELS)
    return (np.rint(levels) + _ZERO).astype(np.uint8)


def decode_flow(codes: np.ndarray, bound: float | None) -> np.ndarray:
    """Codes (..., 2) to float32 pixels of the same shape."""
    flow = codes.astype(np.float32)
    if bound is None:
        return flow
    flow -= _ZERO
    flow *= np.float32(bound / _LEVELS)
    return flow


def codec_error(bound: float) -> float:
    """The largest end-point error that the codes add inside the bound, in pixels."""
    return bound / _LEVELS / math.sqrt(2)


def write_flow_file(
    path: str | os.PathLike[str], fields: Iterable[np.ndarray], meta: dict[str, Any]
) -> int:
    """Write the flow of one video atomically, a field at a time.

    Args:
        path: of the file.
        fields: (H, W, 2) codes, uint8 or float16.
        meta: what else to record; the number of fields and the format are added.

    Returns:
        The number of fields.
    """
    count = 0
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for codes in fields:
            _write_member(archive, count, codes)
            count += 1
        archive.writestr(_META, json.dumps({"format": FORMAT, "fields": count, **meta}))
    return count


class FlowFile:
    """The flow of one video, open for reading; a context manager.

    Attributes:
        meta: as written, with ``fields`` and ``format``.

    Raises:
        FlowError: not a flow file, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        with reading(path, _WHAT, FlowError):
            self._archive = zipfile.ZipFile(path)
            self._sizes = {m.filename: m.file_size for m in self._archive.infolist()}
            self.meta: dict[str, Any] = json.loads(self._member(_META))
            if self.meta.get("format") != FORMAT:
                raise ValueError("it is of another version, or of none")
            size = self.meta.get("size", [1, 1])
            numbers = [self.meta["fields"], *size]
            if len(size) != 2 or any(type(n) is not int or not 0 <= n <= _MOST for n in numbers):
                raise ValueError(f"{numbers} are no number of fields, height and width")

    def _member(self, name: str) -> bytes:
        if self._sizes[name] > _LARGEST_MEMBER:
            raise ValueError(f"its member {name} unpacks to {self._sizes[name]:,} bytes")
        return self._archive.read(name)

    def __enter__(self) -> FlowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Some fields by 0-based index: (H, W, 2) codes each, uint8 or float16.

        Raises:
            FlowError: there is no such field, or the file is damaged.
        """
        count = self.meta["fields"]
        beyond = [i for i in indices if not 0 <= i < count]
        if beyond:
            holds = f"holds the flow of {count + 1} frames"
            raise FlowError(f"{self.path}: {holds}, field {beyond[0]} (from 0) was asked for")
        return [self._field(i) for i in indices]

    def _field(self, index: int) -> np.ndarray:
        with reading(self.path, _WHAT, FlowError):
            if f"{index:06d}.npy" in self._archive.NameToInfo:
                data = self._member(f"{index:06d}.npy")
                return load_array(io.BytesIO(data)).transpose(1, 2, 0)
            png = np.frombuffer(self._member(f"{index:06d}.png"), np.uint8)
            image = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE) if png.size else None
            if image is None:
                raise ValueError(f"its field {index} is no image")
            return image.reshape(2, -1, image.shape[1]).transpose(1, 2, 0)


def _write_member(archive: zipfile.ZipFile, index: int, codes: np.ndarray) -> None:
    planes = np.ascontiguousarray(codes.transpose(2, 0, 1))
    if codes.dtype == np.float16:
        buffer = io.BytesIO()
        np.save(buffer, planes)
        archive.writestr(f"{index:06d}.npy", buffer.getvalue())
        return
    image = planes.reshape(-1, planes.shape[2])
    _, png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    archive.writestr(f"{index:06d}.png", png.tobytes())
