"""Output folders of detection that others have written to, and command lines."""

from __future__ import annotations

import copy
import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.hostile import inputs
from tests.hostile.base import Base, Family, Work

TUBE = {
    "tube": 1, "label": "run", "score": 0.5, "start": 0.0, "end": 0.2, "start_frame": 1,
    "end_frame": 2,
}  # fmt: skip
COLUMNS = {"times": [0.0, 0.1], "boxes": [[1.0, 2.0, 30.0, 40.0]] * 2, "scores": [0.5, 0.5]}
SUMMARY = {
    "video": "a", "height": 48, "width": 64, "frames": 8, "start": 0.0, "end": 0.3, "problem": "",
    "model": "m", "stamp": {}, "tubes": [TUBE],
}  # fmt: skip
VALUES = [
    *inputs.VALUES, "\ud800", "<b>", [[1e308] * 4], [[float("nan")] * 4], float("-inf"), 1 << 62,
]  # fmt: skip
FOLDERS = ("a", "b/c", "e", "f\ud800", "g\x00", "..", "/etc", "h" * 300, "=1", "<b>")


def changed(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The content of a summary or of tubes with a value that cannot be."""
    content = copy.deepcopy(content)
    holder = rng.choice([content, content["tubes"][0]])
    holder[rng.choice(list(holder))] = copy.deepcopy(rng.choice(VALUES))
    return content


def write_results(folder: Path, rng: random.Random) -> None:
    """The folder of a video, with a value in each file that cannot be."""
    folder.mkdir(parents=True)
    tubes = SUMMARY | {"format": 1, "tubes": [TUBE | COLUMNS]}
    for name, content in (("summary.json", SUMMARY), ("tubes.json", tubes)):
        (folder / name).write_text(_json(changed(content, rng)))


def write_journal(path: Path, rng: random.Random) -> None:
    """Lines of a job that says what nothing can be."""
    lines = [
        {"folder": rng.choice(FOLDERS), "written": rng.choice([0.0, 1.0, 1e300, float("nan")])}
        | rng.choice([{"summary": changed(SUMMARY, rng)}, {"summary": SUMMARY}])
        | rng.choice([{}, {}, {"failed": rng.choice(VALUES)}])
        for _ in range(6)
    ]
    path.write_text("".join(_json(line) + "\n" for line in lines))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content).replace("Infinity", "1e999")


def output_folders(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.detect.archive.layout import JOURNAL
    from pcsc_d2.detect.archive.output import Output

    for name in ("a", "b/c", "d"):
        write_results(folder / name, rng)

    def merge() -> None:
        output = Output(folder)
        write_journal(folder / JOURNAL / "other.jsonl", rng)
        output.finish(progress=False, look_for_more=True)
        output.close()
        assert "<b>" not in (folder / "index.html").read_text(encoding="utf-8")

    return folder, merge


def found_results(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    write_results(folder / "a", rng)
    form = rng.choice(["csv", "coco", "cvat", "ava"])
    out = folder.with_name(f"{folder.name}-out")
    return folder / "a" / "tubes.json", ["annotations", folder, "--format", form, "--out", out]


def config_values(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    from pcsc_d2.model_zoo import get_config

    leaves = list(_leaves(get_config("jhmdb/pcsc.yaml"), ""))
    key = rng.choice(leaves)
    value = repr(rng.choice([*VALUES, (), (1, -1), ((),), ("x",)]))
    return Path(key), lambda: get_config("jhmdb/pcsc.yaml", [key, value])


def _leaves(node: Any, prefix: str) -> list[str]:
    found = []
    for name, value in node.items():
        inner = isinstance(value, dict)
        found += _leaves(value, f"{prefix}{name}.") if inner else [prefix + name]
    return found


def command_lines(folder: Path, rng: random.Random, base: Base) -> tuple[Path, Work]:
    line, options = rng.choice([
        (["tubes", "link", "--detections", "no.npz", "--out", "o.npz"],
         ["--gap", "--min-length", "--temporal-labelling", "--actionness-window", "--processes"]),
        (["check"], ["--threads", "--show"]),
        (["generate", "--root", "r"], ["--train", "--seed", "--scale"]),
        (["prepare", "jhmdb", "no.zip"], ["--flow-bound", "--processes"]),
        (["detect", "no.mp4"], ["--every", "--score", "--batch", "--serve", "--record"]),
    ])  # fmt: skip
    option = rng.choice(options)
    return Path(option), [
        *line,
        f"{option}={rng.choice(['nan', '-1', '1e999', '', 'x', '9' * 40])}",
    ]


def result_families() -> dict[str, Family]:
    """Those that can be read here, by name."""
    known = [output_folders, found_results, command_lines]
    known += [config_values] if find_spec("detectron2") else []
    return {family.__name__: family for family in known}
