"""Boxes of several actions, as AVA has them, which a detector of one class a box cannot learn."""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes import GroundTruth
from pcsc_d2.tubes.boxes import to_exclusive


def refuse_several_actions(name: str, truth: GroundTruth) -> None:
    """Raise ValueError where one box, of one frame, has several classes; names the first.

    Args:
        name: of the dataset, for the message.
        truth: to be trained on.
    """
    tubes = truth.tubes
    tube = tubes.box_tubes
    video, frame, cls = tubes.video[tube], tubes.box_frames, tubes.classes[tube]
    order = np.lexsort([cls, *tubes.boxes.T, frame, video])
    columns = np.column_stack([video, frame, tubes.boxes])[order]
    same = (columns[1:] == columns[:-1]).all(axis=1) & (np.diff(cls[order]) != 0)
    if not same.any():
        return
    first, second = order[np.argmax(same) : np.argmax(same) + 2]
    box = " ".join(f"{value:g}" for value in to_exclusive(tubes.boxes[first]))
    place = f"{truth.videos[video[first]]}, frame {frame[first]}, box {box}"
    actions = " and ".join(truth.labels[cls[i]] for i in (first, second))
    raise ValueError(
        f"dataset '{name}': one box has several actions ({actions}; {place}), which is not trained "
        "here: keep one for each box, with labels and rows of these alone"
    )
