"""A small trained model, so that detection shows something at first run."""

from pathlib import Path

START_MODEL = Path(__file__).with_name("start.pt")
"""An exported file; its note says what it is and how it was made."""
