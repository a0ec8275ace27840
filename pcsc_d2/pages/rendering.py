"""Filling in the templates of pages."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pcsc_d2.utils.extras import missing_package

_BASE = Path(__file__).parent


def render_page(template: Path, **values: Any) -> str:
    """Fill a template with values, all of which are escaped.

    Args:
        template: the file; it finds its neighbours and those of this module by their names.
        values: what the template uses; an absent one is an error.

    Returns:
        The page as HTML.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        line = missing_package(error, "a page", "report")
        raise ModuleNotFoundError(line or str(error), name=error.name) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _BASE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"png_address": _png_address, "file_address": _file_address}
    page = environment.get_template(template.name).render(values)
    return page.encode("utf-8", "replace").decode("utf-8")  # names of files need not be UTF-8


def _file_address(path: str) -> str:
    """A relative path as an address, whatever bytes its names have."""
    return quote(os.fsencode(path))


def _png_address(png: bytes) -> str:
    """A PNG file as an address, which holds the file itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
