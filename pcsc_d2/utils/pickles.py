"""Pickles of others: plain containers, text, numbers and NumPy arrays, and nothing that runs.

Python's own unpickler in Python walks through the file, as the one in C crashes on some hostile
ones. It gets no functions: arrays are made here, of bytes whose number has been compared with their
shape.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pcsc_d2.utils.parsing import reading

# Steps of a file; the largest ground truth of the field takes 300,000.
_MOST_STEPS = 5_000_000
_MOST_BYTES = 1 << 30
# What is held may be so many times the file, as parts can be referred to again and again.
_MOST_REPEATED = 8
_DEEPEST = 32
_LONGEST_TEXT = 500  # characters

_KEYS = (str, bytes, int, float, type(None), np.generic)
_ADMITTED_OPCODES = """
PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE
BINUNICODE BINUNICODE8 SHORT_BINUNICODE TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST
APPEND APPENDS EMPTY_DICT PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL
"""


def restricted_load(path: str | os.PathLike[str]) -> Any:
    """Read a pickle that holds only plain containers, text, numbers and NumPy arrays.

    Python 2 pickles are read with latin1 text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a pickle, cut short, it asks for anything else (named in the message), or it
            unfolds to far more than its size.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with reading(path, "a pickle"):
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it is of over {_MOST_BYTES >> 30} GiB")
        data = path.read_bytes()
        content = _Reader(data).load()
        _check_extent(content, 1000 + _MOST_REPEATED * len(data))
    return content


class _Dtype:
    """A dtype that a pickle describes: its code, then its byte order."""

    __slots__ = ("value",)

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[?biufcSUO]\d{0,4}", code):
            raise ValueError(f"an array of type {code!r}")
        self.value = np.dtype(code)

    def build(self, state: tuple) -> _Dtype:
        order, parts = state[1], state[2:5]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in parts):
            raise ValueError("an array of a type of several fields")
        self.value = self.value.newbyteorder(order) if order != "|" else self.value
        return self


class _Array:
    """An array that is announced, and made once its state is there."""

    __slots__ = ("made",)

    def __init__(self, *_: object) -> None:
        self.made: np.ndarray | None = None

    def build(self, state: tuple) -> np.ndarray:
        _, shape, dtype, fortran, content = state
        self.made = _to_array(content, dtype, shape, "F" if fortran else "C")
        return self.made


def _to_array(content: object, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    """An array whose bytes (or objects) are as many as its shape says."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or order not in ("C", "F"):
        raise ValueError("an array without type and shape")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array of shape {shape!r}")
    if dtype.value.hasobject:
        flat = np.empty(len(content), object)
        for i, value in enumerate(content):
            flat[i] = value
    else:
        data = content.encode("latin1") if isinstance(content, str) else content
        flat = np.frombuffer(data, dtype.value) if len(data) else np.zeros(0, dtype.value)
    if math.prod(shape) != len(flat):
        raise ValueError(f"an array of shape {shape} with {len(flat)} values")
    return flat.reshape(shape, order=order).copy(order="K")


def _scalar(dtype: _Dtype, content: object = "") -> np.generic:
    if dtype.value.hasobject:
        raise ValueError("a number of type object")
    return _to_array(content, dtype, (1,), "C")[0]


def _encode(text: str, encoding: str) -> bytes:
    """How protocols 0 to 2 write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in {encoding!r}")
    return text.encode("latin1")


class _Maker:
    """What a pickle gets for the name of a function: nothing that it can call, change or look into.

    Args:
        make: called by the reader with the arguments in the file; None for a mere name.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable | None) -> None:
        self.make = make


def _makers() -> Iterator[tuple[tuple[str, str], _Maker]]:
    yield ("numpy", "ndarray"), _Maker(None)
    yield ("numpy", "dtype"), _Maker(_Dtype)
    yield ("_codecs", "encode"), _Maker(_encode)
    yield ("__builtin__", "bytes"), _Maker(lambda: b"")
    for core in ("numpy.core", "numpy._core"):
        for module in (f"{core}.multiarray", f"{core}.numeric"):
            yield (module, "_reconstruct"), _Maker(_Array)
            yield (module, "scalar"), _Maker(_scalar)
            yield (module, "_frombuffer"), _Maker(_to_array)


_MAKERS = dict(_makers())


class _Steps(dict):
    """What each opcode does; other opcodes, and too many, are errors."""

    def __init__(self, functions: dict[int, Callable]) -> None:
        super().__init__(functions)
        self._left = _MOST_STEPS

    def __getitem__(self, opcode: int) -> Callable:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"it takes over {_MOST_STEPS} steps")
        function = self.get(opcode)
        if function is None:
            raise ValueError(f"byte {opcode} is no opcode of plain data")
        return function


class _Reader(pickle._Unpickler):
    """Python's unpickler with the opcodes of plain data.

    Args:
        data: the file, as a whole, so that no length in it is larger than what is there.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.dispatch = _Steps(_FUNCTIONS)

    def find_class(self, module: str, name: str) -> _Maker:
        if (module, name) not in _MAKERS:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only dict, list, tuple, str, bytes, numbers "
                "and NumPy arrays are admitted, as a pickle can run code"
            )
        return _MAKERS[module, name]

    def reduce(self) -> None:
        arguments = self.stack.pop()
        maker = self.stack[-1]
        if not isinstance(maker, _Maker) or maker.make is None:
            raise ValueError("it calls what is no function of plain data")
        self.stack[-1] = maker.make(*arguments)

    def build(self) -> None:
        state = self.stack.pop()
        announced = self.stack[-1]
        if not isinstance(announced, (_Array, _Dtype)) or not isinstance(state, tuple):
            raise ValueError("it sets the state of plain data")
        self.stack[-1] = announced.build(state)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def set_items(self) -> None:
        self._set_items(self.pop_mark())

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _set_items(self, items: list) -> None:
        target, keys = self.stack[-1], items[::2]
        # A deep tuple as a key would overflow the stack of the process.
        if type(target) is not dict or not all(isinstance(key, _KEYS) for key in keys):
            raise ValueError("a key that is neither text nor a number")
        target.update(zip(keys, items[1::2], strict=True))

    def get(self) -> None:
        self._recall(int(self.readline()[:-1]))

    def get_short(self) -> None:
        self._recall(self.read(1)[0])

    def get_long(self) -> None:
        self._recall(int.from_bytes(self.read(4), "little"))

    def _recall(self, number: int) -> None:
        value = self.memo[number]
        self.append(value.made if isinstance(value, _Array) else value)

    def bytes_to_write(self) -> None:
        self.append(self.read(int.from_bytes(self.read(8), "little")))


def python_steps(names: str) -> dict[int, Callable[..., None]]:
    """What Python's own unpickler in Python does at some opcodes, by opcode.

    Args:
        names: of the opcodes, as ``pickle`` has them, with blanks between.
    """
    opcodes = (getattr(pickle, name)[0] for name in names.split())
    return {opcode: pickle._Unpickler.dispatch[opcode] for opcode in opcodes}


_FUNCTIONS = {
    **python_steps(_ADMITTED_OPCODES),
    pickle.REDUCE[0]: _Reader.reduce,
    pickle.BUILD[0]: _Reader.build,
    pickle.SETITEM[0]: _Reader.set_item,
    pickle.SETITEMS[0]: _Reader.set_items,
    pickle.DICT[0]: _Reader.make_dict,
    pickle.GET[0]: _Reader.get,
    pickle.BINGET[0]: _Reader.get_short,
    pickle.LONG_BINGET[0]: _Reader.get_long,
    pickle.BYTEARRAY8[0]: _Reader.bytes_to_write,
}


def _check_extent(content: object, budget: int) -> None:
    """Refuse what would be far more than the file if each reference were a copy, or very deep.

    Args:
        content: may refer to the same parts often, or to itself.
        budget: values, and bytes of arrays.
    """
    waiting = [iter((content,))]
    while waiting:
        value = next(waiting[-1], waiting)
        if value is waiting:
            waiting.pop()
            continue
        budget -= 1 + (value.nbytes if isinstance(value, np.ndarray) else 0)
        inner = _inner(value)
        if inner is not None:
            waiting.append(inner)
        if budget < 0 or len(waiting) > _DEEPEST:
            raise ValueError("it unfolds to far more than its size, or is nested too deeply")


def _inner(value: object) -> Iterator | None:
    """What a container holds; None for a value, which is checked."""
    if type(value) is dict:
        return (each for pair in value.items() for each in pair)
    if type(value) in (list, tuple):
        return iter(value)
    if type(value) is np.ndarray:
        return iter(value.ravel().tolist()) if value.dtype.hasobject else None
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST_TEXT:
        raise ValueError(f"a text of {len(value)} characters")
    if isinstance(value, (_Array, _Dtype, _Maker)):
        raise ValueError("an array that is never filled")
    return None
