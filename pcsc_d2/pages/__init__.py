"""HTML pages in one style, each a single file that needs no server and no network.

A page is a Jinja2 template beside the module that writes it, which begins with
``{% extends "base.html" %}``, sets ``title`` and fills the blocks ``lead`` (under the heading),
``content`` and, where it needs them, ``style`` and ``script``. ``base.html`` brings the style sheet
(``style.css``: light and dark, tables, tiles, figures), and ``parts.html`` macros for what pages
share. ``render_page`` fills a template; every value is escaped, so a name may hold anything.
"""

from pcsc_d2.pages.rendering import render_page

__all__ = ["render_page"]
