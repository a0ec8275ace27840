"""Building a model of the zoo by its recorded commands, one after the other."""

from __future__ import annotations

import json
import shlex
from itertools import takewhile
from pathlib import Path

from pcsc_d2.model_zoo.models import ZooModel
from pcsc_d2.utils.files import write_json
from pcsc_d2.utils.programs import run_module

_DONE = "done.json"


def steps(model: ZooModel) -> list[str]:
    """The recorded commands with their folders and files in them."""
    places = {
        "trunk": model.trunk,
        "folder": model.work,
        "run": model.run,
        "file": model.folder / f"{model.name}.pt",
    }
    quoted = {name: shlex.quote(str(place)) for name, place in places.items()}
    return [command.format(**quoted) for command in model.commands]


def build(model: ZooModel) -> Path:
    """Run what is not done yet; an interrupted build goes on where it was.

    Returns:
        The exported file.

    Raises:
        ChildProcessError: a command failed; what it said is above that line.
    """
    model.work.mkdir(parents=True, exist_ok=True)
    done = _read(model.work / _DONE)
    todo = steps(model)
    # An export that was changed is made again; after other changes all steps are (``work``).
    kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(done, todo)))
    for number, step in enumerate(todo, start=1):
        if number <= kept:
            print(f"[{number}/{len(todo)}] done before: pcsc {step}", flush=True)
            continue
        print(f"[{number}/{len(todo)}] pcsc {step}", flush=True)
        status = run_module(["pcsc_d2", *shlex.split(step)])
        if status:
            again = f"pcsc models build {model.name} goes on from there"
            raise ChildProcessError(f"pcsc {step} ended with status {status}; {again}")
        write_json(model.work / _DONE, todo[:number])
    return model.folder / f"{model.name}.pt"


def _read(path: Path) -> list[str]:
    """The steps that are done; none where the file cannot be read."""
    try:
        done = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return done if isinstance(done, list) else []
