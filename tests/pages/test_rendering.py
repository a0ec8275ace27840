"""Every value is escaped, whatever template it goes into."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pcsc_d2.pages import render_page
from tests.html_page import HOSTILE, Page

TEMPLATE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block lead %}<p>{{ lead }}</p>{% endblock %}
{% block content %}
{{ parts.tiles([(lead, title)]) }}
{{ parts.keys([title]) }}
{{ parts.pictures([(lead, png)]) }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(TEMPLATE)
    return path


def test_a_page_escapes_everything(template: Path) -> None:
    text = render_page(template, title=HOSTILE, lead=HOSTILE, png=b"\x89PNG")
    page = Page(text)
    assert page.open == []
    assert page.count["script"] == 0
    assert page.count["img"] == 1
    assert page.text.count(HOSTILE) == 7  # as it is for the reader; twice the title
    assert page.attributes <= {"lang", "charset", "name", "content", "class", "alt", "src"}
    assert page.addresses == ["data:image/png;base64,iVBORw=="]
    assert "prefers-color-scheme: dark" in text


def test_a_value_that_is_missing_is_an_error(template: Path) -> None:
    with pytest.raises(Exception, match="'lead' is undefined"):
        render_page(template, title="a page", png=b"")


def test_without_jinja_one_line_says_so(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"a page needs jinja2.*pcsc_d2\[report\]'$"):
        render_page(template, title="a page")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<a href="{{ name | file_address }}">{{ name }}</a>')
    assert render_page(path, name=os.fsdecode(b"a b\xff")) == '<a href="a%20b%FF">a b?</a>'
