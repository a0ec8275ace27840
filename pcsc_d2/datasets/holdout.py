"""A validation part of a training side, cut by what its clips were cut from.

Clips of one film (J-HMDB) or of one group of UCF101 look alike: a validation part that shares them
with what is trained on measures memory. So a film or group is on one side as a whole, which its
name decides, and the same in every run, split and class.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

# Percent of the films or groups that validate.
_SHARE = 25
# v_<class>_g<group>_c<clip>, and <film>_<class>_<visible body part>_<camera motion>_...
_UCF101 = re.compile(r"(v_.+_g\d+)_c\d+")
_JHMDB = r"(.+)_{}_[fuhl]_.+"


def source_of(video: str) -> str:
    """The film or group that ``<class>/<name>`` was cut from; of other names the name itself."""
    label, _, name = video.rpartition("/")
    found = _UCF101.fullmatch(name) or re.fullmatch(_JHMDB.format(re.escape(label)), name)
    return found[1] if found else video


def is_held_out(video: str) -> bool:
    """Whether a training video is in the validation part."""
    return zlib.crc32(source_of(video).encode()) % 100 < _SHARE


def hold_out(videos: Iterable[str], part: str) -> list[str]:
    """The videos of a training side that are trained on (``"fit"``) or validate (``"val"``)."""
    return [video for video in videos if is_held_out(video) == (part == "val")]
