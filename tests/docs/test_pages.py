"""The README and the pages: links lead somewhere, the site builds, the README stays short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
TEXTS = [*ROOT.glob("*.md"), *PAGES.rglob("*.md"), ROOT / "datasets" / "README.md"]
MOST_WORDS = 900
SLUG = re.compile(r"[^\w\- ]")


def links(text: str) -> list[str]:
    """Where the links and pictures of a page outside its code lead, addresses left out."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    text = path.read_text(encoding="utf-8")
    included = re.findall(r'^--8<-- "([^":]+)', text, re.MULTILINE)
    text += "".join((ROOT / name).read_text(encoding="utf-8") for name in included)
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {SLUG.sub("", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links {link}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_every_package_has_a_page_in_the_api() -> None:
    documented = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("api/*.md"))
    # Programs are documented by their --help; the others are not for users.
    left_out = {"assets", "cli", "demo", "experiments", "pages", "utils"}
    packages = {path.parent.name for path in ROOT.glob("pcsc_d2/*/__init__.py")}
    for package in packages - left_out:
        assert f"::: pcsc_d2.{package}" in documented, package


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings", "mkdocs_jupyter"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    config = ["--config-file", str(ROOT / "docs" / "mkdocs.yml"), "--site-dir", str(tmp_path)]
    done = subprocess.run([*command, *config], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'id="pcsc_d2.tubes.Tubes"' in (tmp_path / "api" / "tubes.html").read_text()
    assert "Laying it out" in (tmp_path / "datasets.html").read_text()
