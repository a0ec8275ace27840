"""What jobs of ``kills.py`` left behind: whole or not, left over or not, and what it says."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcsc_d2.detect.archive.layout import JOURNAL
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.weights import load_tensors
from pcsc_d2.video import VideoSource

# Lines are added to these while a job runs; the last may be unfinished.
_GROWING = ("log.txt", "metrics.json", "events.out")
# What they hold depends on where, when and from which file something was made.
_OF_PLACE = ("stamp", "made_by")
# Hidden, and meant to stay.
_KEPT = (".complete", JOURNAL)


def unfinished(folder: Path) -> Iterator[str]:
    """Files that have their final name and are not whole."""
    for path in files_of(folder):
        if path.name.startswith(_GROWING):
            continue
        try:
            _read(path)
        except Exception as error:
            yield f"{path.name}: {str(error)[:80]}"


def files_of(folder: Path) -> list[Path]:
    """All files that are not hidden, and in no hidden folder."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return [p for p in found if not any(part[0] == "." for part in p.relative_to(folder).parts)]


def hidden_in(folder: Path) -> list[str]:
    """What is hidden in a folder, less what is meant to be."""
    return [path.name for path in folder.rglob(".*") if path.name not in _KEPT]


def results(folder: Path) -> dict[str, str]:
    """A digest of each file of results, by its name."""
    skipped = (*_GROWING, "config.yaml", "index.html", "summary.json", "page.html")
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in files_of(folder)
        if not path.name.startswith(skipped)
    }


def difference(found: dict[str, str], expected: dict[str, str]) -> str:
    """The files that differ, are missing, or should not be there."""
    kinds = {
        "differs": [k for k in found.keys() & expected.keys() if found[k] != expected[k]],
        "missing": expected.keys() - found.keys(),
        "besides": found.keys() - expected.keys(),
    }
    return "; ".join(f"{kind}: {', '.join(sorted(of)[:3])}" for kind, of in kinds.items() if of)


def _content(path: Path) -> bytes:
    """What a file says, without times and names of places."""
    return repr(_plain(_read(path))).encode()


def _read(path: Path) -> Any:
    if path.suffix == ".pth":
        return load_tensors(path)
    if path.suffix == ".pt":
        return _answers(torch.jit.load(str(path)))
    if path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".pkl":
        truth = GroundTruth.load(path)
        return truth.videos, truth.tubes.boxes, truth.train, truth.test
    if path.suffix == ".mp4":
        return [frame.tobytes() for frame in VideoSource(path)]
    return path.read_bytes()


@torch.no_grad()
def _answers(network: torch.jit.ScriptModule) -> Any:
    """What an exported network of ``fault_jobs.TINY`` says to a clip; torch orders the constants
    in a file by their place in memory."""
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (1, 3, 4, 48, 64), generator=generator, dtype=torch.uint8)
    return network(rgb, torch.randn(1, 2, 4, 48, 64, generator=generator))


def _plain(content: Any) -> Any:
    if isinstance(content, torch.Tensor):
        return hashlib.sha256(content.numpy().tobytes()).hexdigest()
    if isinstance(content, np.ndarray):
        return hashlib.sha256(content.tobytes()).hexdigest()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items() if key not in _OF_PLACE}
    if isinstance(content, (list, tuple)):
        return [_plain(each) for each in content]
    return content
