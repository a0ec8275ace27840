"""OpenVINO's entry point, of which a process has one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino


@cache
def openvino_core() -> openvino.Core:
    """The process's ``openvino.Core``; it lives as long as the process does.

    A core that compiles gives its thread a stack for signals and takes it back when it goes. Of two
    cores that go in the order in which they came, the second one restores the first one's stack,
    which is no longer there: the next signal, Ctrl-C or the end of a child, then kills the process.
    """
    import openvino

    return openvino.Core()
