"""Whether the tensors of an exported file are within what the file holds.

A pickle in it names records of the archive, and says how many numbers each has and which of them a
tensor takes. torch believes it: where a record is shorter, it reads whatever lies behind it in
memory, or ends the process.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pcsc_d2.utils.pickles import python_steps

# Bytes of a number.
_ITEM_SIZES = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Char", "Byte", "Bool"), 1),
}
_TENSOR = "torch._utils._rebuild_tensor_v2"
# What torch.jit.save writes, less what is read here in a way of its own.
_OPCODES = """
PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE BINPERSID
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT GLOBAL
BINPUT LONG_BINPUT BINGET LONG_BINGET
"""


class _Name(str):
    """Of a class or function that a pickle asks for, and what it would make."""

    __slots__ = ()


class _Storage(NamedTuple):
    count: int


def check_storages(whole: str | bytes) -> None:
    """Compare the tensors of a TorchScript file with its records.

    Args:
        whole: its path or, of a packed file, its bytes.

    Raises:
        ValueError, KeyError: a record is missing or shorter than a tensor, or a pickle is none of
            ``torch.jit.save``.
    """
    with zipfile.ZipFile(io.BytesIO(whole) if isinstance(whole, bytes) else whole) as file:
        sizes = {part.filename: part.file_size for part in file.infolist()}
        for name in sizes:
            folder, suffix = os.path.splitext(name)
            if suffix == ".pkl":
                _Pickle(file.read(name), f"{folder}/", sizes).load()


class _Pickle(pickle._Unpickler):
    """Walks through a pickle without making what it asks for.

    Args:
        data: the pickle.
        folder: where its storages are.
        sizes: bytes of the records, by name.
    """

    def __init__(self, data: bytes, folder: str, sizes: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(data))
        self._folder, self._sizes = folder, sizes
        self.dispatch: dict[int, Callable] = _FUNCTIONS

    def find_class(self, module: str, name: str) -> _Name:
        return _Name(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, count = pid
        size = _ITEM_SIZES[storage.removeprefix("torch.").removesuffix("Storage")]
        if kind != "storage" or not isinstance(count, int):
            raise ValueError("a storage that is none")
        if not 0 <= count * size <= self._sizes[f"{self._folder}{key}"]:
            raise ValueError(f"its part {self._folder}{key} is shorter than the tensor in it")
        return _Storage(count)

    def reduce(self) -> None:
        arguments = self.stack.pop()
        if self.stack[-1] == _TENSOR:
            _check_tensor(*arguments[:4])

    def make_object(self) -> None:
        self.stack.pop()

    def set_items(self) -> None:
        self.pop_mark()

    def set_item(self) -> None:
        del self.stack[-2:]


_FUNCTIONS = {
    **python_steps(_OPCODES),
    pickle.REDUCE[0]: _Pickle.reduce,
    pickle.NEWOBJ[0]: _Pickle.make_object,
    pickle.BUILD[0]: _Pickle.make_object,
    pickle.SETITEM[0]: _Pickle.set_item,
    pickle.SETITEMS[0]: _Pickle.set_items,
}


def _check_tensor(storage: object, offset: object, sizes: object, strides: object) -> None:
    numbers = (offset, *sizes, *strides)
    if not isinstance(storage, _Storage) or len(sizes) != len(strides):
        raise ValueError("a tensor without storage or shape")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"a tensor of shape {tuple(sizes)}, strides {tuple(strides)}")
    last = offset + sum((n - 1) * stride for n, stride in zip(sizes, strides))
    if 0 not in sizes and last >= storage.count:
        raise ValueError(f"a tensor of shape {tuple(sizes)} in {storage.count} numbers")
