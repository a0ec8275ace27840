"""Class names and ground truth of the registered datasets, by their folder."""

from __future__ import annotations

from pathlib import Path

from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.datasets.synthetic.clips import labels_of
from pcsc_d2.datasets.synthetic.truth import split_videos
from pcsc_d2.tubes import GroundTruth

UCF101_24_LABELS = (
    "Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving",
    "Fencing", "FloorGymnastics", "GolfSwing", "HorseRiding", "IceDancing", "LongJump",
    "PoleVault", "RopeClimbing", "SalsaSpin", "SkateBoarding", "Skiing", "Skijet",
    "SoccerJuggling", "Surfing", "TennisSwing", "TrampolineJumping", "VolleyballSpiking",
    "WalkingWithDog",
)  # fmt: skip
JHMDB_LABELS = (
    "brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour",
    "pullup", "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand",
    "swing_baseball", "throw", "walk", "wave",
)  # fmt: skip
LABELS: dict[str, tuple[str, ...]] = {
    "ucf24": UCF101_24_LABELS,
    "jhmdb": JHMDB_LABELS,
    "synthetic/easy": labels_of("easy"),
    "synthetic/pairs": labels_of("pairs"),
}


def read_ground_truth(root: Path, folder: str, part: str, split: int) -> GroundTruth:
    """Ground truth of one part of a dataset.

    Args:
        root: of all datasets.
        folder: ``ucf24``, ``jhmdb`` or ``synthetic/<set>``.
        part: ``"train"``, ``"test"``, or of generated clips any split by name.
        split: 1-based; generated clips have one.
    """
    truth = dataset_files(folder).ground_truth(root, AnnotationIssues())
    if folder.startswith("synthetic/"):
        return truth.select(split_videos(truth, part))
    return truth.split(split, part)
