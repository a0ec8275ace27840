"""How the C library keeps memory that was freed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
# The most that glibc took as a threshold up to 2.34.
_MOST_BEFORE = 2**25


@cache
def keep_freed_memory() -> bool:
    """Have the process keep what it frees, for the next time, rather than give it back.

    A key frame's maps are of tens of megabytes. By default such a block goes back to the system
    when it is freed, and the next one comes in pages of 4 KB that are cleared one by one: a fifth
    of the time of dense video. What the process holds stays at its peak, which it would come to
    again with the next key frame in any case.

    Returns:
        Whether it could be done: with glibc, which is Linux's as a rule.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    set_one = mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, _MOST_BEFORE)
    return bool(set_one and mallopt(_TRIM_THRESHOLD, _MOST))
