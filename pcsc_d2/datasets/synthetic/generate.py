"""Generated clips: untrimmed videos with known tubes, for the demo and for the tests.

One to three actors over a textured background that drifts. A class is an appearance and a motion:

- `pairs`: every appearance with every motion, nine classes. One stream alone tells three groups of
  three, so that only both together tell the class.
- `easy`: four classes. Two differ in the appearance alone, two in the motion alone: one stream
  suffices for each, but not the same one.

In both sets 18 % of the actors hardly move (`still`) and as many wear the background's own texture
(`camouflaged`), so that each stream misses actors that the other finds; the class of such an
actor is ambiguous, so report by kind. Every actor is there before and after its action, whose
start and end are gradual; ground truth covers the action alone. Most clips also hold a still
patch dressed like an actor, and a piece of the background that wanders.

Flipping from left to right keeps every label. The same `ClipSpec` always gives the same frames;
splits never share an actor or a background.

Files under `root/synthetic/<name>/`:

- `videos/<split>/<number>.mp4`: H.264, 25 frames a second.
- `annotations.pkl`: `GroundTruth`; videos are named `<split>/<number>`. `train` and `test` are its
  one pair of splits; of any other, `synthetic_truth.split_videos` gives the names.
- `actors.json`: what every actor is, for scores by kind (`truth.actor_types`).
- `spec.json`: how the set was made; a set whose spec agrees is kept as it is.

    pcsc generate --root datasets --set pairs

With `--custom csv` (or `coco`, `cvat`) the set is written once more, to `root/<name>_csv/`, in the
layout of one's own data, which `docs/pages/custom-datasets.md` describes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from pcsc_d2.datasets.custom.write import write_own
from pcsc_d2.datasets.custom.written import WriteOptions
from pcsc_d2.datasets.synthetic.actors import ActorTube
from pcsc_d2.datasets.synthetic.clips import SETS, ClipSpec, labels_of, plan_split, render_clip
from pcsc_d2.datasets.synthetic.truth import actor_types, describe, ground_truth, split_videos
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.files import write_json
from pcsc_d2.video.writing import write_video

__all__ = [
    "SETS",
    "SIZES",
    "VERSION",
    "ClipSpec",
    "actor_types",
    "generate",
    "labels_of",
    "plan_split",
    "render_clip",
    "split_videos",
    "write_as_custom",
]

VERSION = 3
"""Raised whenever the same parameters would give other clips."""
SIZES: dict[str, int] = {"train": 40, "val": 10, "test": 20}
FPS = 25


def generate(
    root: str | os.PathLike[str],
    name: str = "pairs",
    sizes: Mapping[str, int] | None = None,
    size: tuple[int, int] = (96, 128),
    length: tuple[int, int] = (40, 60),
    seed: int = 0,
    progress: bool = True,
    scale: int = 1,
) -> Path:
    """Write a set under `root/synthetic/name`; the top of this module lists its files.

    A set made with the same parameters is left alone; an interrupted one goes on where it
    stopped, and one whose splits have other sizes keeps the clips that it shares; one made with
    other parameters is replaced.

    Args:
        root: the root of the data sets, `DETECTRON2_DATASETS`.
        name: a key of `SETS`.
        sizes: split to its number of clips; `SIZES` if None.
        size, length, seed: as in `plan_split`.
        progress: show a bar.
        scale: as in `render_clip`; frames and boxes are so many times as large.

    Returns:
        The folder of the set.

    Raises:
        ValueError: if a parameter is out of its range.
    """
    folder = Path(root) / "synthetic" / name
    sizes = dict(SIZES if sizes is None else sizes)
    plans = {
        f"{split}/{index:04d}": plan
        for split, count in sizes.items()
        for index, plan in enumerate(plan_split(name, split, count, size, length, seed))
    }
    made_by = {"version": VERSION, "size": list(size), "length": list(length)}
    made_by |= {"seed": seed, "scale": scale}
    spec = {**made_by, "splits": sizes, "complete": True}
    if not _is_complete(folder, spec, plans):
        found = _read_spec(folder / "spec.json")
        same = all(found.get(key) == value for key, value in made_by.items())
        _remove_videos(folder / "videos", keep=set(plans) if same else set())
        _write_json(folder / "spec.json", {**spec, "complete": False})
        with tqdm(plans.items(), f"generating {name}", unit="clip", disable=not progress) as bar:
            tubes = {video: _make_clip(folder, video, plan, scale) for video, plan in bar}
        _write_annotations(folder, ground_truth(labels_of(name), plans, tubes, scale), tubes)
        _write_json(folder / "spec.json", spec)
    return folder


def _is_complete(folder: Path, spec: Mapping[str, object], videos: Iterable[str]) -> bool:
    """Whether a set was made with these parameters, and all its files are there."""
    files = ["annotations.pkl", "actors.json", *(f"videos/{video}.mp4" for video in videos)]
    made = _read_spec(folder / "spec.json") == spec
    return made and all((folder / file).exists() for file in files)


def write_as_custom(folder: Path, form: str) -> Path:
    """Write a generated set as one's own data, to `<root>/<set>_<form>`.

    Args:
        folder: of the set, `root/synthetic/<set>`.
        form: "csv", "coco", "cvat" or "ava", which keeps a box a second.

    Returns:
        The new folder.
    """
    truth = GroundTruth.load(folder / "annotations.pkl")
    videos = {name: folder / "videos" / f"{name}.mp4" for name in truth.videos.tolist()}
    splits = {split: [f"{split}/*"] for split in dict.fromkeys(n.split("/")[0] for n in videos)}
    target = folder.parents[1] / f"{folder.name}_{form}"
    options = WriteOptions(rates=dict.fromkeys(videos, FPS))
    write_own(target, truth, videos, form, splits, options)
    return target


def _make_clip(folder: Path, video: str, plan: ClipSpec, scale: int) -> list[ActorTube]:
    frames, tubes = render_clip(plan, scale)
    path = folder / "videos" / f"{video}.mp4"
    if not path.exists():
        # The encoder's threads would change its choices with the number of cores.
        write_video(path, frames, FPS, quality=10, preset="veryfast", threads=1)
    # By class, as the annotation file groups them: an actor's position is its tube's.
    return sorted(tubes, key=lambda tube: tube.actor.label)


def _write_annotations(
    folder: Path, truth: GroundTruth, tubes: Mapping[str, list[ActorTube]]
) -> None:
    truth.save(folder / "annotations.pkl")
    actors = {
        "labels": truth.labels,
        "flip_preserves_label": True,
        "videos": {video: [describe(tube) for tube in found] for video, found in tubes.items()},
    }
    _write_json(folder / "actors.json", actors)


def _read_spec(path: Path) -> dict:
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # damaged: as if it were not there
        return {}
    return spec if isinstance(spec, dict) else {}


def _write_json(path: Path, content: dict) -> None:
    write_json(path, content)


def _remove_videos(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("*/*.mp4"):
        if path.relative_to(folder).with_suffix("").as_posix() not in keep:
            path.unlink()
