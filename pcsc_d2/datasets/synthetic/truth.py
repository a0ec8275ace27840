"""Ground truth of generated clips: splits by name, and the kind of every actor."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pcsc_d2.datasets.synthetic.actors import ActorTube
from pcsc_d2.datasets.synthetic.clips import ClipSpec
from pcsc_d2.tubes import GroundTruth, Tubes


def ground_truth(
    labels: tuple[str, ...],
    plans: Mapping[str, ClipSpec],
    tubes: Mapping[str, list[ActorTube]],
    scale: int = 1,
) -> GroundTruth:
    """All clips' tubes: `plans` and `tubes` map `<split>/<number>` to a clip and what it holds, as
    `scale` of `render_clip` gave it."""
    videos = np.array(list(plans), np.str_)
    found = [tube for video in plans for tube in tubes[video]]
    counts = [len(tubes[video]) for video in plans]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(tube.boxes for tube in found)])
    return GroundTruth(
        labels=labels,
        videos=videos,
        nframes=np.array([plan.frames for plan in plans.values()], np.int32),
        resolution=np.array([plan.size for plan in plans.values()], np.int32).reshape(-1, 2)
        * scale,
        tubes=Tubes(
            videos=videos,
            labels=np.array(labels),
            video=np.repeat(np.arange(len(counts)), counts),
            classes=np.array([tube.actor.label for tube in found], np.int64),
            scores=np.ones(len(found)),
            start=np.array([tube.start for tube in found], np.int64),
            ptr=np.cumsum([0, *(len(tube.boxes) for tube in found)]),
            boxes=boxes,
            box_scores=np.ones(len(boxes)),
        ),
        train=[_of_split(videos, "train")],
        test=[_of_split(videos, "test")],
    )


def _of_split(videos: np.ndarray, split: str) -> list[str]:
    return [video for video in videos.tolist() if video.startswith(f"{split}/")]


def describe(tube: ActorTube) -> dict[str, str | int]:
    """A tube's entry in `actors.json`."""
    actor = tube.actor
    return {
        "label": actor.label,
        "appearance": actor.appearance,
        "motion": actor.motion,
        "kind": actor.kind,
        "start": tube.start,
        "end": tube.end,
    }


def split_videos(truth: GroundTruth, split: str) -> list[str]:
    """Names of the videos of a split of a generated set; `truth.select` takes them.

    Raises:
        ValueError: if no video is of that split.
    """
    found = _of_split(truth.videos, split)
    if not found:
        known = sorted({video.split("/")[0] for video in truth.videos.tolist()})
        raise ValueError(f"no video of split {split!r}: there are {', '.join(known)}")
    return found


def actor_types(truth: GroundTruth, path: str | os.PathLike[str]) -> np.ndarray:
    """The kind of actor, one of `KINDS`, of every tube of `truth`: (T,) str.

    Args:
        truth: ground truth of a generated set, or videos selected from it.
        path: the `actors.json` of the set.

    Raises:
        ValueError: if the file tells of other tubes than `truth` does.
    """
    videos = json.loads(Path(path).read_text(encoding="utf-8"))["videos"]
    tubes = truth.tubes
    kinds = {
        (video, actor["label"], actor["start"], actor["end"]): actor["kind"]
        for video, actors in videos.items()
        for actor in actors
    }
    names = tubes.videos[tubes.video].tolist()
    keys = list(zip(names, tubes.classes.tolist(), tubes.start.tolist(), tubes.last.tolist()))
    unknown = [key for key in keys if key not in kinds]
    if unknown:
        raise ValueError(f"{path}: no actor for the tube of {unknown[0][0]}: generate both again")
    return np.array([kinds[key] for key in keys], np.str_)
