"""The card of a model that goes to the Hub: what it is, what it reaches, how it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pcsc_d2 import __version__
from pcsc_d2.model_zoo.models import ZooModel, zoo_models
from pcsc_d2.models.info import ModelInfo
from pcsc_d2.models.loading import load_model
from pcsc_d2.utils.files import file_digest
from pcsc_d2.utils.parsing import reading

_COLUMNS = {"frame": ("0.5", "0.75", "0.5:0.95"), "video": ("0.2", "0.5", "0.75", "0.5:0.95")}


def model_card(
    file: Path, repository: str, results: Path | None = None, license_id: str | None = None
) -> str:
    """The text of README.md, with the Hub's front matter.

    Args:
        file: an exported model.
        repository: ``owner/name``.
        results: ``results.json`` of what it scored; None takes what is known of a model of the
            list, by the file's digest, else the card says that nothing was measured.
        license_id: as the Hub names licences; None leaves it out.

    Raises:
        ModelError: no exported model.
        ValueError: no such results.
    """
    info = load_model([file]).info
    digest = file_digest(file)
    known = next((m for m in zoo_models().values() if m.sha256 == digest), None)
    front = ["library_name: pcsc_d2", "pipeline_tag: video-classification"]
    front += [f"license: {json.dumps(license_id)}"] if license_id else []
    front += ["tags:", *(f"- {tag}" for tag in ("action-detection", "action-tubes", "detectron2"))]
    parts = [
        "\n".join(["---", *front, "---"]),
        f"# {repository.partition('/')[2]}",
        info.note or "A spatio-temporal action detector: who does what, where, from when to when.",
        _use(repository),
        _about(file, info, digest),
        _scores(results, known),
    ]
    return "\n\n".join(parts) + "\n"


def _use(repository: str) -> str:
    return (
        "```sh\npip install 'pcsc_d2[detect,hub]'\n"
        f"pcsc detect VIDEO --model hf://{repository} --out results\n```"
    )


def _about(file: Path, info: ModelInfo, digest: str) -> str:
    rows = {
        "classes": f"{len(info.labels)}: {', '.join(info.labels)}",
        "clip": f"{info.clip_length} frames, shorter side {info.min_size} pixels",
        "optical flow": info.flow_method,
        "file": f"model{file.suffix}, {file.stat().st_size / 1e6:.1f} MB",
        "sha256": f"`{digest}`",
        "pushed with": f"pcsc_d2 {__version__}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {_cell(v)} |" for k, v in rows.items())])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _scores(results: Path | None, known: ZooModel | None) -> str:
    if results is None and known is None:
        return "What it reaches has not been measured."
    if results is not None:
        about, where = _measured(results), "of `pcsc evaluate`"
    else:
        about = {
            "frame": {"0.5": known.frame_50},
            "video": {"0.2": known.video_20, "0.5": known.video_50, "0.75": known.video_75}
            | {"0.5:0.95": known.video},
        }
        where = f"on {known.clips} test clips; trained on {known.data}, from {known.start}"
    columns = [
        (f"{kind} {iou}", about[kind][iou])
        for kind, ious in _COLUMNS.items()
        for iou in ious
        if about.get(kind, {}).get(iou) is not None
    ]
    heads, values = zip(*columns) if columns else (("mAP",), (float("nan"),))
    lines = [heads, ["---"] * len(heads), [f"{value:.1f}" for value in values]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"mAP in percent, {where}:\n\n{table}"


def _measured(path: Path) -> dict[str, Any]:
    with reading(path, "results"):
        about = json.loads(path.read_text(encoding="utf-8"))
        found = {
            kind: {iou: float(value) for iou, value in about[kind].items() if value is not None}
            for kind in _COLUMNS
            if kind in about
        }
        if not any(found.values()):
            raise ValueError("no scores in it; give results.json of pcsc evaluate")
    return found
