"""Hostile inputs made from a seed: good files that are damaged, and values that cannot be."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import random
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.hostile.base import CANARY

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1 << 31, 1 << 63, 10**400, 1e308, -1e308, 0.5, float("nan"),
    float("inf"), "", " ", "x", "=1+1", "../x", "/etc/passwd", "caf\u00e9", "cafe\u0301", "\ud800",
    "\x00", "a" * 5000, [], [1], [None], {}, {"a": 1}, [[[]]],
)  # fmt: skip
MARKS = (b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\xfe\xff", b"\x1f\x8b", b"PK\x03\x04")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes cut, turned, doubled, prefixed or overwritten."""
    size, way = len(data), rng.randrange(6)
    place = rng.randrange(size)
    if way == 0:
        return data[:place]
    if way == 1:
        return rng.choice(MARKS) + data
    if way == 2:
        return data[:place] + data[place : place + rng.randint(1, 200)] + data[place:]
    content = bytearray(data)
    for _ in range(rng.choice([1, 3, 30])):
        content[rng.randrange(size)] = rng.randrange(256)
    if way == 3:
        number = struct.pack("<I", rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]))
        content[place : place + 4] = number
    return bytes(content)


def changed(content: Any, rng: random.Random) -> Any:
    """Nested lists and dicts with a value somewhere that cannot be, a key less, or too deep."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice([1, 1, 3])):
        holder, key = _anywhere(content, rng)
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return content


def _anywhere(content: Any, rng: random.Random) -> tuple[Any, Any]:
    holder, key = None, None
    while isinstance(content, (dict, list)) and content:
        holder = content
        key = rng.choice(list(content) if isinstance(content, dict) else range(len(content)))
        content = content[key]
        if rng.random() < 0.25:
            break
    return ({0: 0}, 0) if holder is None else (holder, key)


def json_text(content: Any, rng: random.Random) -> bytes:
    """JSON of changed content, at times damaged, nested without end or in another encoding."""
    if rng.random() < 0.05:
        return b"[" * 100_000
    text = json.dumps(changed(content, rng)).encode(rng.choice(["utf-8"] * 8 + ["utf-16"]))
    return damaged(text, rng) if rng.random() < 0.3 else text


def csv_text(rows: list[list[Any]], rng: random.Random) -> bytes:
    """CSV with cells that cannot be, at times damaged."""
    rows = [list(row) for row in rows]
    for _ in range(rng.choice([1, 3])):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(VALUES)
    if rng.random() < 0.2:
        rng.choice(rows).pop()
    text = "\n".join(",".join(map(str, row)) for row in rows)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, rng) if rng.random() < 0.4 else data


def array_file(arrays: dict[str, np.ndarray], rng: random.Random) -> bytes:
    """An ``.npz`` with arrays of other shapes, types, values or headers, at times damaged."""
    arrays = dict(arrays)
    name, way = rng.choice(list(arrays)), rng.randrange(6)
    array = arrays[name]
    if way == 0:
        del arrays[name]
    elif way == 1:
        arrays[name] = array.reshape(-1)[: rng.randint(0, 3)]
    elif way == 2:
        other = rng.choice(["S5", "U5", "f2", "c8", "?", "M8[s]"])
        arrays[name] = np.zeros(array.shape, other)
    elif way == 3 and array.dtype.kind in "if" and array.size:
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice([-1, 0, 30_000])
        arrays[name] = array
    elif way == 4:
        arrays[name] = np.array(rng.choice([0, 1.5, "x"]))
    file = io.BytesIO()
    rng.choice([np.savez, np.savez_compressed])(file, **arrays)
    data = file.getvalue()
    return _huge_header(data) if way == 5 else damaged(data, rng) if rng.random() < 0.4 else data


def _huge_header(data: bytes) -> bytes:
    """The first array says that it has 2^42 numbers."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for i, name in enumerate(old.namelist()):
            content = old.read(name)
            if i == 0:
                header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4398046511104,), }"
                header += b" " * (117 - len(header)) + b"\n"
                content = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header
            new.writestr(name, content)
    return out.getvalue()


def changed_zip(data: bytes, rng: random.Random) -> bytes:
    """A zip whose members are damaged, doubled, emptied, or unfold to much more than they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        chosen, way = rng.choice(old.namelist()), rng.randrange(5)
        for info in old.infolist():
            content = old.read(info)
            if info.filename == chosen and way == 4:
                info.compress_type, content = zipfile.ZIP_DEFLATED, bytes(200 << 20)
            elif info.filename == chosen:
                content = (
                    damaged(content or b"x", rng),
                    b"",
                    content,
                    content[: len(content) // 2],
                )[way]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for _ in range(1 + (way == 2 and info.filename == chosen)):
                    new.writestr(info, content)
    return out.getvalue()


class Bomb:
    """Makes a folder when it is unpickled.

    Args:
        name: of the folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.name,)


def pickled(content: Any, rng: random.Random) -> bytes:
    """A pickle of changed content, at times with code, at times damaged."""
    if rng.random() < 0.5:
        content = dict(content)
        content[rng.choice(list(content))] = rng.choice([*VALUES, Bomb(CANARY)])
    data = pickle.dumps(content, protocol=rng.choice([0, 2, 4]))
    return damaged(data, rng) if rng.random() < 0.5 else data


def xml_text(text: str, rng: random.Random) -> bytes:
    """XML with attributes that cannot be, entities, depth, or damage."""
    way = rng.randrange(5)
    if way == 0:
        return b"<annotations>" + b"<a>" * 5000
    if way == 1:
        entity = "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
        return (entity + text).encode()
    parts = text.split('"')
    for _ in range(rng.choice([1, 3])):
        parts[rng.randrange(len(parts) // 2) * 2 + 1] = str(rng.choice(VALUES[:20])).strip("\x00")
    data = '"'.join(parts).encode("utf-8", "surrogatepass")
    return damaged(data, rng) if way == 2 else data


def video(data: bytes, rng: random.Random) -> bytes:
    """A damaged video, or what is none: a playlist, text, an image, a piece, nothing."""
    others = (
        b"", b"\x00" * 1000, b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile a",
        b"v=0\nm=video 1 RTP/AVP 96\n", b"RIFF\xff\xff\xff\xffAVI LIST", rng.randbytes(3000),
        cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
    )  # fmt: skip
    return rng.choice(others) if rng.random() < 0.15 else damaged(data, rng)


def folder_of_frames(folder: Path, rng: random.Random) -> None:
    """Frames with gaps, of odd names, of no pixels, of other sizes, damaged."""
    folder.mkdir()
    for number in rng.sample(range(12), rng.randint(1, 6)):
        size = 48 if rng.random() < 0.9 else rng.choice([1, 7, 64])
        data = cv2.imencode(".png", np.full((size, 64, 3), 9 * number, np.uint8))[1].tobytes()
        name = rng.choice(["{:05}.png", "{}.jpg", "f{}.PNG", "._{}.png", "{}x.png", "x.png"])
        content = damaged(data, rng) if rng.random() < 0.2 else data
        (folder / name.format(number + rng.choice([0, 0, 0, 10**6]))).write_bytes(content)


def file_name(rng: random.Random) -> bytes:
    """A name that a file can have, of at most 255 bytes."""
    pieces = [
        b"a", b"index.html", b".", b" ", b"\n", b"\xff", b"\xc3\xa9", b"e\xcc\x81", b":", b"http:",
        b"%2e", b"=1", b"-", b"*", b"[x]", b"stdin", b"'", b'"', b"<b>", b"\\", b"x" * 120,
    ]  # fmt: skip
    name = b"".join(rng.choices(pieces, k=rng.randint(1, 4)))[:250]
    return name.strip(b"./") + rng.choice([b".mp4", b".MKV", b".avi"]) or b"a.mp4"
