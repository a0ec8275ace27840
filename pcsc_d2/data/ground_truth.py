"""Class names of the registered datasets, and where their ground truth is read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..tubes import GroundTruth
from ..video.synthetic import split_videos
from ..video.synthetic_clips import labels_of

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
    "ucf101_24": UCF101_24_LABELS,
    "jhmdb": JHMDB_LABELS,
    "synthetic_easy": labels_of("easy"),
    "synthetic_pairs": labels_of("pairs"),
}


def _jhmdb(folder: Path, part: str, split: int) -> GroundTruth:
    return GroundTruth.load(folder / "annotations" / "JHMDB-GT.pkl").split(split, part)


def _synthetic(folder: Path, part: str, split: int) -> GroundTruth:
    del split  # generated clips have one
    truth = GroundTruth.load(folder / "annotations.pkl")
    return truth.select(split_videos(truth, part))


GROUND_TRUTH: dict[str, Callable[[Path, str, int], GroundTruth]] = {
    "jhmdb": _jhmdb,
    "synthetic_easy": _synthetic,
    "synthetic_pairs": _synthetic,
}
