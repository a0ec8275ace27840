"""Numbers in results that others wrote, within what every reader of them can hold.

Tables have 32-bit columns, tubes 32-bit boxes, and annotations count frames up to 2**30.
"""

from __future__ import annotations

_LARGEST_WHOLE = (1 << 30) - 1
_LARGEST_REAL = 3.4028234e38  # a 32-bit float's


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
