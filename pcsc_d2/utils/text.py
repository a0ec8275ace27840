"""Text for messages."""

from __future__ import annotations


def one_line(error: Exception, length: int = 200) -> str:
    """What an error says, in one line of at most so many characters."""
    text = " ".join(str(error).split())
    return text if len(text) < length else f"{text[:length]}..."
