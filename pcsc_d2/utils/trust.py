"""What files of others may not do unless who runs the program says that they may."""

from __future__ import annotations

import os

VARIABLE = "PCSC_ALLOW_UNSAFE"


class UntrustedError(ValueError):
    """A file that does more than hold data; one line that names it and how to allow it."""


def trusted() -> bool:
    """Whether the files of this run may run code and name addresses."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def require_trust(path: str | os.PathLike[str], reason: str) -> None:
    """UntrustedError for a file that does more than hold data, unless the run trusts its files.

    Args:
        path: the file.
        reason: what it does, as the end of "x.yaml ...".
    """
    if not trusted():
        raise UntrustedError(
            f"{path} {reason}; if you trust whoever made it, allow it with {VARIABLE}=1"
        )
