"""Text for messages and tables."""

from __future__ import annotations

import random

from pcsc_d2.utils.text import plain_cell, text_of_cell

PIECES = ["=", "+", "-", "@", "\t", "'", "a", " ", "1", ","]


def test_no_cell_is_a_formula_and_each_is_read_back() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 4)))
        cell = plain_cell(text)
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert text_of_cell(cell) == text
    assert [plain_cell(value) for value in (-1, -0.5, None)] == [-1, -0.5, None]
