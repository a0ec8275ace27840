"""Memory that was freed comes back without the system's help."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Pages that the process got while it took 64 MB ten times; in a process of its own.
_CODE = """
import resource
import numpy as np
from pcsc_d2.runtime.memory import keep_freed_memory
KEEP and keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 24, np.float32)
before = faults()
for _ in range(10):
    np.ones(1 << 24, np.float32)
print(faults() - before)
"""


def faults(keep: bool) -> int:
    code = _CODE.replace("KEEP", str(keep))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_kept() -> None:
    from pcsc_d2.runtime.memory import keep_freed_memory

    if not keep_freed_memory():
        pytest.skip("another C library")
    assert faults(True) < faults(False) / 10
