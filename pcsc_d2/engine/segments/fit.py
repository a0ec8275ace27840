"""Fitting temporal cooperation to tubes, and cutting tubes by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from pcsc_d2.engine.segments.samples import TubeSample
from pcsc_d2.modeling.segments import SegmentCooperation
from pcsc_d2.tubes import GroundTruth, Tubes, video_map
from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.utils.progress import progress_bar

THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 10))
# Segments of a tube with their probabilities: (S, 2), (S,).
Segments = tuple[np.ndarray, np.ndarray]


def standardise(network: SegmentCooperation, tubes: Sequence[TubeSample]) -> None:
    """Set the mean and the deviation of each stream's channels over all boxes."""
    boxes = torch.cat([tube.features for tube in tubes], dim=1)
    network.mean.copy_(boxes.mean(dim=1))
    network.std.copy_(boxes.std(dim=1).clamp(min=1e-3))


def fit(
    network: SegmentCooperation,
    tubes: Sequence[TubeSample],
    epochs: int,
    rate: float,
    decay: float,
    seed: int,
) -> None:
    """Train on tubes, one at a time in random order.

    Tubes that hold their action, and as many others, drawn anew, make an epoch.
    """
    standardise(network, tubes)
    generator = torch.Generator().manual_seed(abs(seed))
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    positive = [i for i, tube in enumerate(tubes) if tube.labels.any()]
    others = [i for i, tube in enumerate(tubes) if not tube.labels.any()]
    size = len(positive) + min(len(others), len(positive))
    with progress_bar(epochs * size, "fitting segments", "tube", True) as bar:
        for _ in range(epochs):
            drawn = torch.randperm(len(others), generator=generator)[: len(positive)].tolist()
            order = [*positive, *(others[i] for i in drawn)]
            for i in torch.randperm(len(order), generator=generator).tolist():
                optimizer.zero_grad()
                network.losses(*tubes[order[i]]).total.backward()
                optimizer.step()
                bar.update(1)


@torch.no_grad()
def find_segments(network: SegmentCooperation, tubes: Sequence[TubeSample]) -> list[Segments]:
    """The segments of each tube, best first."""
    found = (network(tube.features, tube.cls) for tube in tubes)
    return [(x.segments.numpy(), x.logits.sigmoid().numpy()) for x in found]


def cut(tubes: Tubes, segments: Sequence[Segments], threshold: float, min_length: int) -> Tubes:
    """The parts of tubes that are in segments of at least a probability.

    A tube with several such segments becomes several, one with none goes; parts shorter than
    ``min_length`` go, too. Scores are those of the tubes.
    """
    parts = [
        (i, int(np.floor(start + 0.5)), int(np.floor(end + 0.5)))
        for i, (places, scores) in enumerate(segments)
        for start, end in places[scores >= threshold]
    ]
    parts = [part for part in parts if part[2] - part[1] >= max(min_length, 1)]
    of, low, high = np.array(parts, np.int64).reshape(-1, 3).T
    lengths = high - low
    rows = ranges(tubes.ptr[of] + low, lengths)
    return replace(
        tubes,
        video=tubes.video[of],
        classes=tubes.classes[of],
        scores=tubes.scores[of],
        start=tubes.start[of] + low,
        ptr=np.concatenate([[0], np.cumsum(lengths)]),
        boxes=tubes.boxes[rows],
        box_scores=tubes.box_scores[rows],
        actionness=None if tubes.actionness is None else tubes.actionness[rows],
    )


def choose_threshold(
    tubes: Tubes,
    segments: Sequence[Segments],
    truth: GroundTruth,
    min_length: int,
    protocol: str = "act",
) -> tuple[float, dict[str, float]]:
    """The threshold of the best video mAP 0.5:0.95; 0 where leaving the tubes alone is best.

    Returns:
        It, and the score of each; "none" is that of the tubes as they are.
    """
    scores = {"none": video_map(tubes, truth, protocol=protocol).average}
    for threshold in THRESHOLDS:
        parts = cut(tubes, segments, threshold, min_length)
        scores[f"{threshold:g}"] = video_map(parts, truth, protocol=protocol).average
    best = max(scores, key=scores.get)
    return (0.0 if best == "none" else float(best)), scores
