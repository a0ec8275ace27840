"""Where files are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder of a kind of files: in PCSC_CACHE, or in the user's cache folder."""
    if "PCSC_CACHE" in os.environ:
        return Path(os.environ["PCSC_CACHE"]).expanduser() / kind
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return user / "pcsc_d2" / kind
