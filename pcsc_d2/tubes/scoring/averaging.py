"""Results of several splits, averaged: papers report J-HMDB as the mean over its three."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcsc_d2.utils import files as io
from pcsc_d2.utils.parsing import reading

_NAMES = {"frame_at_075": "frame 0.75"}


@dataclass(frozen=True)
class Average:
    """Means over several results.

    Attributes:
        names: of what is averaged.
        each: the contents of its ``results.json``.
        mean: the same with every number replaced by its mean.
    """

    names: list[str]
    each: list[dict[str, Any]]
    mean: dict[str, Any]

    def table(self) -> str:
        """A row for each of the results and for the mean, then the mean by stage."""
        rows = {
            name: columns(content)
            for name, content in zip([*self.names, "mean"], [*self.each, self.mean])
        }
        stages = {
            f"mean, {stage}": {f"frame 0.{key[2:]}".replace("0.50", "0.5"): values[key]
                               for key in ("AP50", "AP75") if key in values}
            for stage, values in self.mean.get("stages", {}).items()
        }  # fmt: skip
        rows |= stages
        heads = list(dict.fromkeys(head for row in rows.values() for head in row))
        width = max(map(len, rows))
        lines = [f"protocol {self.mean['protocol']}, mAP in %"]
        lines.append("  ".join([" " * width, *(f"{head:>{max(len(head), 6)}}" for head in heads)]))
        for name, row in rows.items():
            cells = (_cell(row.get(head), max(len(head), 6)) for head in heads)
            lines.append("  ".join([f"{name:<{width}}", *cells]).rstrip())
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mean as JSON in the layout of ``results.json``, with the names averaged."""
        io.write_json(path, self.mean | {"mean_of": self.names})


def average_results(paths: Sequence[str | os.PathLike[str]]) -> Average:
    """Average ``results.json`` files of the same kind, such as one a split.

    A class that some splits have no ground truth of is averaged over the others.

    Args:
        paths: at least two files, or folders with one ``results.json`` somewhere below.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: fewer than two, a file that holds no results, or results that do not compare.
    """
    files = [_results_file(Path(path)) for path in paths]
    if len(set(files)) < 2 or len(set(files)) < len(files):
        raise ValueError("an average takes at least two results, and each of them once")
    each = [_read(file) for file in files]
    for name in ("protocol", "unit"):
        if len({content.get(name) for content in each}) > 1:
            values = ", ".join(str(content.get(name)) for content in each)
            raise ValueError(f"{files[0]} and others differ in {name}: {values}")
    overall = [set(columns(content)) for content in each]
    for file, found in zip(files, overall):
        if found != overall[0]:
            raise ValueError(f"{file}: holds other scores than {files[0]}")
    return Average(_distinct_names(files), each, _mean(each))


def columns(content: Mapping[str, Any]) -> dict[str, float | None]:
    """The columns of the paper in a ``results.json``: "frame 0.5", "video 0.2" and so on."""
    found = {f"frame {iou}": value for iou, value in content.get("frame", {}).items()}
    found |= {column: content[key] for key, column in _NAMES.items() if key in content}
    return found | {f"video {iou}": value for iou, value in content.get("video", {}).items()}


def _mean(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of nested numbers; what is equal in all stays, what only some have is left out."""
    keys = [key for key in contents[0] if all(key in content for content in contents)]
    result: dict[str, Any] = {}
    for key in keys:
        values = [content[key] for content in contents]
        numbers = [value for value in values if isinstance(value, (int, float))]
        if all(isinstance(value, Mapping) for value in values):
            result[key] = _mean(values)
        elif numbers:
            result[key] = sum(numbers) / len(numbers)
        elif all(value == values[0] for value in values):
            result[key] = values[0]
    return result


def _results_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.rglob("results.json"))
    if len(found) != 1:
        raise FileNotFoundError(f"{path}: holds {len(found)} results.json, expected one; name it")
    return found[0]


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such results")
    with reading(file, "JSON"):
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    with reading(file, "results of the evaluator"):
        if not isinstance(content, dict) or "protocol" not in content or not columns(content):
            raise ValueError("it holds none")
        for name in ("protocol", "unit"):
            if not isinstance(content.get(name, ""), str):
                raise ValueError(f"'{name}' is {content[name]!r}, no text")
        for name, value in [*columns(content).items(), *_stage_scores(content)]:
            if value is not None and type(value) not in (int, float):
                raise ValueError(f"'{name}' is {value!r}, no number")
    return content


def _stage_scores(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [pair for stage in content.get("stages", {}).values() for pair in stage.items()]


def _distinct_names(files: Sequence[Path]) -> list[str]:
    """The last folder or file name in which the paths differ."""
    parts = [file.resolve().parts for file in files]
    for place in range(2, min(map(len, parts)) + 1):
        names = [part[-place] for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]


def _cell(value: float | None, width: int) -> str:
    return " " * width if value is None else f"{value:{width}.2f}"
