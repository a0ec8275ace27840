"""Pickles of data are read, those that ask for more are refused, and none does any harm."""

from __future__ import annotations

import os
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.pickles import restricted_load

ROOT = Path(__file__).parents[2]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_data_are_read(tmp_path: Path, protocol: int) -> None:
    content = {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scalar": np.int64(3),
        "empty": np.zeros((0, 9)),
        "plain": [("é", b"\xff", 1, 2.5, None, True)],
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    read = restricted_load(tmp_path / "x.pkl")
    assert np.array_equal(read["array"], content["array"])
    assert read["scalar"] == 3
    assert read["empty"].shape == (0, 9)
    assert read["plain"] == content["plain"]


def test_pickles_of_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": Malicious()}))
    with pytest.raises(ValueError, match=r"x\.pkl: .*system") as error:
        restricted_load(path)
    assert "can run code" in str(error.value)
    path.write_bytes(pickle.dumps([1, 2, 3])[:-4])
    with pytest.raises(ValueError, match=r"x\.pkl: cannot be read"):
        restricted_load(path)
    with pytest.raises(FileNotFoundError, match=r"y\.pkl"):
        restricted_load(tmp_path / "y.pkl")


def test_arrays_of_every_kind(tmp_path: Path) -> None:
    arrays = [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array([True, False]),
        np.array(3.5),
        np.array([1 + 2j]),
        np.array([[1, "a"], [None, [2]]], dtype=object),
    ]
    # Each twice: the second is a reference to the first.
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps([arrays, arrays[::-1]], protocol))
        read, backwards = restricted_load(tmp_path / "x.pkl")
        for one, other in zip(arrays, read, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert np.array_equal(one, other)
            assert other.flags.writeable
        assert all(one is other for one, other in zip(read, backwards[::-1], strict=True))


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def array(shape: bytes, code: str, content: bytes) -> bytes:
    """An array by the opcodes of protocol 2."""
    state = b"(K\x03" + text("<") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00t"
    dtype = b"cnumpy\ndtype\n(" + text(code) + b"\x89\x88tR" + state + b"b"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + b"C\x01btR"
    raw = b"B" + struct.pack("<I", len(content)) + content
    return made + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"


def number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def shared(depth: int, width: int) -> bytes:
    """Lists of one list each, many times: width ** depth values if each were a copy."""
    parts = b"]q\x00(" + b"K\x01" * width + b"e0"
    for level in range(depth):
        parts += b"]r" + struct.pack("<I", level + 1)
        parts += b"(" + (b"j" + struct.pack("<I", level)) * width + b"e0"
    return parts + b"j" + struct.pack("<I", depth) + b"."


HUGE = struct.pack("<Q", 1 << 40)
BODIES = {
    "shared lists": shared(10, 10),
    "shared arrays": b"("
    + array(b"(M\xe8\x03t", "u1", bytes(1000))
    + b"q\x00"
    + b"h\x00" * 999
    + b"l.",
    "itself": b"]q\x00h\x00a.",
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b"K\x01" + b"\x85" * 100_000 + b".",
    "a deep key": b"}K\x01" + b"\x85" * 300_000 + b"K\x01s.",
    "a huge array": b"cnumpy\nndarray\n(" + number(1 << 33) + b"ttR.",
    "a shape without its bytes": array(b"(" + number(1 << 33) + b"t", "f8", b"12345678") + b".",
    "a shape of nothings": array(b"(" + number(1 << 33) + b"t", "S0", b"") + b".",
    "a negative shape": array(b"(" + number(-1) + number(-8) + b"t", "u1", b"12345678") + b".",
    "objects out of bytes": array(b"(K\x01t", "O", b"12345678") + b".",
    "an array of no type": array(b"(K\x01t", "V8", b"12345678") + b".",
    "punycode": b"c_codecs\nencode\n(" + text("x" * 5000) + text("punycode") + b"tR.",
    "idna": b"c_codecs\nencode\n(" + text("x" * 5000) + text("idna") + b"tR.",
    "huge bytes": b"\x8e" + HUGE + b".",
    "huge text": b"\x8d" + HUGE + b".",
    "a huge bytearray": b"\x96" + HUGE + b".",
    "a huge frame": b"\x95" + HUGE + b"N.",
    "a huge number": b"\x8b" + struct.pack("<i", 1 << 30) + b".",
    "a number of many digits": b"I" + b"9" * 200_000 + b"\n.",
    "a far memo": b"Nr\xff\xff\xff\x7f.",
    "no stack": b"R.",
    "marks alone": b"(" * 1000 + b"t" * 1001 + b".",
    "popped": b"N000.",
    "nothing to build": b"K\x01}b.",
    "an array's state twice": array(b"(K\x01t", "u1", b"1") + b"Nb.",
    "a state of a function": b"cnumpy\ndtype\n}X\x04\x00\x00\x00makeK\x01sb.",
    "an object": b"cnumpy\nndarray\n)\x81.",
    "instance": b"(i__builtin__\nbytes\n.",
    "persistent": b"Pa\n.",
    "extension": b"\x82\x01.",
    "a long text": text("x" * 10_000) + b".",
    "a type alone": b"cnumpy\ndtype\n.",
}


@pytest.mark.parametrize("body", BODIES)
def test_hostile_bodies(body: str, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02" + BODIES[body])
    if body in ("a far memo", "a huge frame"):  # do no harm
        assert restricted_load(tmp_path / "x.pkl") is None
        return
    with pytest.raises(ValueError, match=r"x\.pkl: cannot be read as a pickle: .") as error:
        restricted_load(tmp_path / "x.pkl")
    assert len(str(error.value).splitlines()) == 1


def test_files_of_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pkl").write_bytes(b"(" + b"N" * 5000 + b"t.")
    assert len(restricted_load(tmp_path / "x.pkl")) == 5000
    monkeypatch.setattr("pcsc_d2.utils.pickles._MOST_STEPS", 1000)
    with pytest.raises(ValueError, match=r"x\.pkl: .* over 1000 steps"):
        restricted_load(tmp_path / "x.pkl")


def content() -> dict[str, Any]:
    """Ground truth of two videos."""
    tube = np.array([[1, 0, 0, 9, 9], [2, 0, 0, 9, 9]], np.float32)
    return {
        "labels": ["run", "jump"],
        "gttubes": {"a": {0: [tube]}, "b": {1: [tube, tube + 1]}},
        "nframes": {"a": 9, "b": np.int64(8)},
        "train_videos": [["a"]],
        "test_videos": [["b"]],
        "resolution": {"a": (10, 20), "b": (10, 20)},
    }


def mutated(seed: int) -> bytes:
    """A pickle of ground truth with some bytes changed, cut, doubled or other opcodes put in."""
    draw = random.Random(seed)
    data = bytearray(pickle.dumps(content(), draw.randrange(6)))
    opcodes = [getattr(pickle, name) for name in pickle.__all__ if name.isupper()]
    opcodes = [code for code in opcodes if isinstance(code, bytes) and len(code) == 1]
    for _ in range(draw.choice([1, 1, 2, 5])):
        at, length = draw.randrange(len(data)), draw.choice([1, 1, 2, 8, 50])
        kind = draw.randrange(6)
        if kind == 0:
            data[at] = draw.randrange(256)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[draw.randrange(len(data)) :][:length]
        elif kind == 3:
            data[at:at] = b"".join(draw.choices(opcodes, k=length))
        elif kind == 4:
            data[at : at + 4] = struct.pack("<I", draw.choice([0, 1 << 31, 0xFFFFFFFF, 1 << 20]))
        else:
            data[at : at + 1] = draw.choice(list(BODIES.values()))[:2000]
        data = data or bytearray(b".")
    return bytes(data)


# Within 2 GB of memory. Prints what was read and what refused; other errors end it.
FUZZ = """
import resource, sys, warnings
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
warnings.simplefilter("ignore")
from pcsc_d2.datasets.annotations import read_annotations
from tests.utils.test_pickles import mutated
path, counts = Path(sys.argv[1]), [0, 0]
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    path.write_bytes(mutated(seed))
    try:
        read_annotations(path)
        counts[0] += 1
    except ValueError as error:
        assert str(path) in str(error), (seed, error)
        assert len(str(error).splitlines()) == 1, (seed, error)
        counts[1] += 1
print(*counts)
"""


def test_mutated_pickles_are_read_or_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path / "x.pkl"), "0", "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    read, refused = map(int, done.stdout.split())
    assert read + refused == 1000
    assert refused > 300


def test_the_content_that_is_mutated_is_good(tmp_path: Path) -> None:
    for protocol in range(6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content(), protocol))
        assert len(GroundTruth.load(tmp_path / "x.pkl").tubes) == 3
