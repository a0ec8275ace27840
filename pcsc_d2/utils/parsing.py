"""One boundary around every parser of what others wrote, whose fault an error is, and numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pcsc_d2.utils.text import one_line

# What every reader of results can hold: tables have 32-bit columns, tubes 32-bit boxes, and
# annotations count frames up to 2**30.
_LARGEST_WHOLE = (1 << 30) - 1
_LARGEST_REAL = 3.4028234e38  # a 32-bit float's


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


def whole_number(value: object) -> int:
    """A whole number of JSON, such as that of a frame, a tube or a person.

    Raises:
        ValueError: it is none (of JSON's, 12.0 is one), or too large.
    """
    number = _number(value, _LARGEST_WHOLE)
    if number % 1:
        raise ValueError(f"{number} is no whole number")
    return int(number)


def real_number(value: object) -> float:
    """A number of JSON, such as a time, a score or a side of a box.

    Raises:
        ValueError: it is none, or not finite, or too large for 32 bits.
    """
    return float(_number(value, _LARGEST_REAL))


def box_numbers(value: object) -> list[float]:
    """A box of JSON: four numbers.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"{value!r} is no box of four numbers")
    return [real_number(side) for side in value]


def _number(value: object, largest: float) -> int | float:
    # Which neither text, true, NaN nor an integer of hundreds of digits is.
    if type(value) not in (int, float) or not abs(value) <= largest:
        raise ValueError(f"{value!r} is no number, or too large")
    return value
