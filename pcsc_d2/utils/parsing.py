"""One boundary around every parser of what others wrote, and whose fault an error is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pcsc_d2.utils.text import one_line


@contextmanager
def reading(
    path: str | os.PathLike[str], what: str, error_type: type[ValueError] = ValueError
) -> Iterator[None]:
    """Give whatever goes wrong in the block as one line that names the file.

    Foreign content can raise any error on the way: parsers recurse, overflow, allocate and
    compare what it holds. Such errors are of the content, not of the program.

    Args:
        path: of the file.
        what: it is to be, such as "CSV".
        error_type: of the error that is raised.

    Raises:
        OSError: the file cannot be opened or read.
        ValueError: of ``error_type``; one that names the file already is left as it is.
    """
    try:
        yield
    except OSError as error:
        # Those that come from content, such as a seek to before the start, have no file name.
        if error.filename is not None:
            raise
        raise error_type(f"{path}: cannot be read as {what}: {_reason(error)}") from None
    except error_type as error:
        if str(error).startswith(str(path)):
            raise
        raise error_type(f"{path}: cannot be read as {what}: {_reason(error)}") from None
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise error_type(str(error)) from None
        raise error_type(f"{path}: cannot be read as {what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = one_line(error)
    if isinstance(error, KeyError):
        return f"{text} is missing or unknown"
    plain = isinstance(error, ValueError) and text and not isinstance(error, UnicodeError)
    kind = type(error).__name__
    return text if plain else f"{kind}: {text}" if text else kind


def is_ours(error: BaseException) -> bool:
    """Whether this package raised an error itself, as where it looks at what the user gave."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals["__name__"].startswith("pcsc_d2.")
