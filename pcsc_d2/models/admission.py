"""What an exported file may hold: operators on tensors, and none that read, write or run others.

Two looks at a file that may come from anyone: at its parts before torch loads it, since a module
that defines how it is restored runs that code while it is loaded; then at the operators of every
method, before any of them runs.
"""

from __future__ import annotations

import io
import os
import pickletools
from collections.abc import Iterator

import torch

from pcsc_d2.models.storages import check_storages
from pcsc_d2.utils.trust import require_trust
from pcsc_d2.utils.zips import TENSORS, check_content, check_zip

# What networks of ``pcsc export`` use, as tests/export/test_export.py compares. None of
# them touches files, addresses or other code.
_ATEN = """
Int ScalarImplicit __and__ __derive_index __getitem__ __range_length _convolution
_set_item add add_ all append arange argsort cat clamp clamp_ clone div empty eq exp
expand flatten floor floor_divide floordiv full full_like gather ge group_norm gt index
index_put_ index_select isfinite len lerp linear log log2 lt max max_pool2d max_pool3d mean
meshgrid min mul neg new_zeros nonzero nonzero_numpy numel pad permute prod relu relu_ remainder
repeat_interleave reshape scatter_reduce_ searchsorted select sigmoid size slice softmax
split_with_sizes sqrt stack sub tensor to topk unsqueeze upsample_nearest2d view where
zeros
"""
_PRIM = """
Constant If ListConstruct ListUnpack Loop NumToTensor TupleConstruct device dtype min
"""
_TORCHVISION = """
nms roi_align
"""
_NAMESPACES = {"aten": _ATEN, "prim": _PRIM, "torchvision": _TORCHVISION}
OPERATORS = frozenset(f"{space}::{x}" for space, xs in _NAMESPACES.items() for x in xs.split())
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
_RESTORABLE = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    *(f"torch.jit._pickle.{name}" for name in _LISTS),
}


def check_parts(path: str | os.PathLike[str], whole: str | bytes) -> None:
    """Look through a TorchScript file that is not loaded yet.

    Args:
        path: where it comes from.
        whole: the same, or the bytes that a packed file was put together to (see ``packing``).

    Raises:
        UntrustedError: it runs code while it is loaded, or restores objects other than tensors and
            the network.
        ValueError, RuntimeError, BadZipFile, KeyError: not such a file, it unfolds to much more
            than its size, or its tensors are not within its records.
    """
    check_zip(path, TENSORS)
    check_content(path)
    # The reader that will load it: another one could see other parts in a crafted file.
    reader = reader_of(whole)
    for name in reader.get_all_records():
        if name.endswith(".py") and b"__setstate__" in reader.get_record(name):
            require_trust(path, "runs code while it is loaded (__setstate__)")
        elif name.endswith("pkl"):
            for asked in _globals(reader.get_record(name)):
                if not _is_restorable(asked):
                    require_trust(path, f"asks for {asked}, which is no tensor and no network")
    check_storages(whole)


def reader_of(whole: str | bytes) -> torch._C.PyTorchFileReader:
    """What reads the parts of a file, or of its bytes, as torch itself does."""
    return torch._C.PyTorchFileReader(io.BytesIO(whole) if isinstance(whole, bytes) else whole)


def check_operators(path: str | os.PathLike[str], network: torch.jit.ScriptModule) -> None:
    """Look at all that a loaded network would do; UntrustedError names an unknown operator.

    Args:
        path: where it comes from.
        network: not run yet.
    """
    unknown = operators(network) - OPERATORS
    if unknown:
        require_trust(path, f"uses {min(unknown)}, which no network of pcsc export does")


def operators(network: torch.jit.ScriptModule) -> set[str]:
    """All that the methods of a network and of its parts use, such as ``aten::add``."""
    found: set[str] = set()
    for module in network.modules():
        for name in module._c._method_names():
            found.update(_kinds(module._c._get_method(name).graph))
    return found


def _kinds(block: torch._C.Graph | torch._C.Block) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


def _globals(data: bytes) -> Iterator[str]:
    """The classes and functions that a pickle asks for, without running it."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            yield argument.replace(" ", ".")
        elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            yield opcode.name


def _is_restorable(name: str) -> bool:
    if name.startswith("__torch__."):
        # Below it, too, are classes that are written in C++ and open files when they are made.
        return not name.startswith("__torch__.torch.classes")
    module, _, last = name.rpartition(".")
    return name in _RESTORABLE or (module == "torch" and last.endswith("Storage"))
