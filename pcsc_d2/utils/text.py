"""Text for messages."""

from __future__ import annotations

import os

# With these a spreadsheet begins a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def one_line(error: Exception, length: int = 200) -> str:
    """What an error says, in one line of at most so many characters."""
    text = " ".join(str(error).split())
    return text if len(text) < length else f"{text[:length]}..."


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as text of one line: bytes that are no UTF-8 and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_cell(value: object) -> object:
    """A cell of a table that no spreadsheet takes for a formula; numbers stay numbers."""
    risky = isinstance(value, str) and value.lstrip("'").startswith(_FORMULAS)
    return f"'{value}" if risky else value


def text_of_cell(cell: str) -> str:
    """What ``plain_cell`` made a cell of."""
    risky = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULAS)
    return cell[1:] if risky else cell
