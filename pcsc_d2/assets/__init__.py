"""A small trained model, so that detection shows something at first run."""

from pathlib import Path

SHIPPED = "jhmdb-pcsc-rgb"
"""Its name; that of ``model_zoo/models.json`` where it is one of those."""

SHIPPED_MODEL = Path(__file__).with_name(f"{SHIPPED}.pt")
"""An exported file, which ``pcsc detect`` takes where no model is named."""
