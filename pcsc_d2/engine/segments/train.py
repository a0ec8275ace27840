"""Train temporal cooperation on a trained detector's tubes, choose how tubes are cut, and evaluate.

``pcsc train-segments`` is the command. It goes as that of actionness (``engine/actionness/train``),
with the network of ``MODEL.SEGMENTS`` in the place of the actionness head.
"""

from __future__ import annotations

import argparse

from pcsc_d2.engine.actionness.train import train_afterwards
from pcsc_d2.engine.segments.fit import SegmentsTask


def main(args: argparse.Namespace) -> dict | None:
    """Train the segments' network; the scores of the evaluation."""
    return train_afterwards(args, SegmentsTask)
