"""What is a number in results that others wrote."""

from __future__ import annotations

import pytest

from pcsc_d2.utils.parsing import box_numbers, real_number, whole_number


@pytest.mark.parametrize("value", [0, 1, 12.0, -3, (1 << 30) - 1])
def test_whole_numbers(value: float) -> None:
    number = whole_number(value)
    assert number == value
    assert type(number) is int


@pytest.mark.parametrize("value", [0, 0.25, -3, 1e38])
def test_real_numbers(value: float) -> None:
    number = real_number(value)
    assert number == value
    assert type(number) is float


NONE = [None, True, "1", [1], float("nan"), float("inf"), 10**400, -(10**400)]


@pytest.mark.parametrize("value", [*NONE, 1.5, 1 << 30])
def test_no_whole_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="is no "):
        whole_number(value)


@pytest.mark.parametrize("value", [*NONE, 1e39])
def test_no_real_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="is no "):
        real_number(value)


def test_numbers_that_cannot_even_be_shown() -> None:
    with pytest.raises(ValueError, match=r"limit|is no number"):
        whole_number(10**5000)


@pytest.mark.parametrize("value", ["1234", [1, 2, 3], [1, 2, 3, "4"], {1: 2}, 5])
def test_no_boxes(value: object) -> None:
    assert box_numbers([1, 2, 3, 4.5]) == [1.0, 2.0, 3.0, 4.5]
    with pytest.raises(ValueError, match="is no "):
        box_numbers(value)
