"""Class names of the registered datasets, and where their ground truth is read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..tubes import GroundTruth
from ..video.annotations import read_annotations
from ..video.synthetic_clips import labels_of
from ..video.synthetic_truth import split_videos

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


UCF101_24_FILES = ("pyannot.pkl", "finalAnnots.mat", "UCF101v2-GT.pkl")


def _ucf101_24(folder: Path, part: str, split: int) -> GroundTruth:
    annotations = folder / "annotations"
    for name in UCF101_24_FILES:
        if (annotations / name).is_file():
            truth = read_annotations(annotations / name, annotations / "testlist01.txt")
            return truth.split(split, part)
    raise FileNotFoundError(f"{annotations}: expected one of {', '.join(UCF101_24_FILES)}")


def _jhmdb(folder: Path, part: str, split: int) -> GroundTruth:
    return read_annotations(folder / "annotations" / "JHMDB-GT.pkl").split(split, part)


def _synthetic(folder: Path, part: str, split: int) -> GroundTruth:
    del split  # generated clips have one
    truth = GroundTruth.load(folder / "annotations.pkl")
    return truth.select(split_videos(truth, part))


GROUND_TRUTH: dict[str, Callable[[Path, str, int], GroundTruth]] = {
    "ucf101_24": _ucf101_24,
    "jhmdb": _jhmdb,
    "synthetic_easy": _synthetic,
    "synthetic_pairs": _synthetic,
}
