"""What the datasets are: where their files are under the dataset root, classes and parts.

``datasets/README.md`` shows the layout.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pcsc_d2.datasets.annotations import read_annotations, read_video_list
from pcsc_d2.datasets.holdout import hold_out
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.datasets.synthetic.clips import SETS, labels_of
from pcsc_d2.datasets.synthetic.truth import split_videos
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video.decoding import DecodingRule
from pcsc_d2.video.files import is_hidden, is_video_file, video_name

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


@dataclass(frozen=True)
class DatasetFiles:
    """The files of one dataset.

    Attributes:
        name: the folder under the root; of the flow store, too.
        decoding: how frames are counted.
        annotations: in that folder, the first that is there is read.
        test_list: of UCF101, where the annotations hold no splits.
        labels: class names; empty where the annotations alone tell them.
        video_folder: in that folder, with ``<video>.<suffix>``.
    """

    name: str
    decoding: DecodingRule
    annotations: tuple[str, ...]
    test_list: str | None = None
    labels: tuple[str, ...] = ()
    video_folder: str = "videos"

    def videos(self, root: Path) -> Path:
        """The folder of videos under the root of all datasets."""
        return root / self.name / self.video_folder

    def ground_truth(self, root: Path, issues: AnnotationIssues) -> GroundTruth:
        """All annotated videos with their splits.

        Args:
            root: of all datasets.
            issues: what had to be repaired, and listed videos that are not annotated.

        Raises:
            FileNotFoundError: no annotations there.
            ValueError: they cannot be read.
        """
        folder = root / self.name
        found = [folder / name for name in self.annotations if (folder / name).is_file()]
        if not found:
            expected = " or ".join(self.annotations)
            raise FileNotFoundError(f"{folder}: no annotations there, expected {expected}")
        test_list = None if self.test_list is None else folder / self.test_list
        truth = read_annotations(found[0], test_list, issues)
        if test_list is None:
            issues.unannotated += _unannotated(folder / "splits", truth)
        return truth

    def select(self, truth: GroundTruth, part: str, split: int = 1) -> GroundTruth:
        """One part of the dataset.

        Args:
            truth: what ``ground_truth`` gave.
            part: ``"train"`` or ``"test"``; ``"fit"`` or ``"val"`` for the two parts of the
                training side, see ``holdout``; of generated clips and of one's own data any
                split by name.
            split: 1-based; generated clips and one's own data have one.

        Raises:
            ValueError: there is no such part or split.
        """
        if part in ("fit", "val"):
            train = truth.split(split, "train")
            return train.select(hold_out(train.videos.tolist(), part))
        return truth.split(split, part)

    def log(self, issues: AnnotationIssues, root: Path) -> None:
        """Warn of issues that can be repaired where they are: of published annotations none."""

    def videos_there(self, root: Path, truth: GroundTruth) -> list[str]:
        """Names of the videos in the folders of the annotated classes."""
        videos = self.videos(root)
        classes = sorted({name.split("/")[0] for name in truth.videos.tolist()})
        folders = [videos / name for name in classes if (videos / name).is_dir()]
        files = [path for folder in folders for path in sorted(folder.iterdir())]
        # Folders are asked for last: it takes a system call each.
        return [
            video_name(path)
            for path in files
            if is_video_file(path.name) or (not is_hidden(path.name) and path.is_dir())
        ]


@dataclass(frozen=True)
class SyntheticFiles(DatasetFiles):
    """The files of a generated set."""

    def select(self, truth: GroundTruth, part: str, split: int = 1) -> GroundTruth:
        return truth.select(split_videos(truth, part))


DATASETS: dict[str, DatasetFiles] = {
    "ucf24": DatasetFiles(
        "ucf24",
        "constant_rate",
        ("annotations/pyannot.pkl", "annotations/finalAnnots.mat", "annotations/UCF101v2-GT.pkl"),
        "annotations/testlist01.txt",
        UCF101_24_LABELS,
    ),
    "jhmdb": DatasetFiles("jhmdb", "coded", ("annotations/JHMDB-GT.pkl",), labels=JHMDB_LABELS),
}


def dataset_files(name: str) -> DatasetFiles:
    """The files of ``ucf24``, ``jhmdb`` or ``synthetic/<set>``; ValueError for another name."""
    if name in DATASETS:
        return DATASETS[name]
    if name.startswith("synthetic/"):
        kind = name.split("/")[1]
        labels = labels_of(kind) if kind in SETS else ()
        return SyntheticFiles(name, "coded", ("annotations.pkl",), labels=labels)
    known = ", ".join([*DATASETS, "synthetic/<set>"])
    raise ValueError(f"unknown dataset '{name}'; there are {known}")


def datasets_under(root: str | os.PathLike[str]) -> list[str]:
    """Names of the datasets that have a folder under a root."""
    generated = sorted(p.parent.name for p in Path(root).glob("synthetic/*/annotations.pkl"))
    found = [name for name in DATASETS if (Path(root) / name).is_dir()]
    return found + [f"synthetic/{name}" for name in generated]


def _unannotated(splits: Path, truth: GroundTruth) -> list[str]:
    """Videos that J-HMDB's split lists name and the annotations lack."""
    listed: set[str] = set()
    for file in splits.glob("*_test_split*.txt"):
        label = file.name.split("_test_split")[0]
        listed |= {f"{label}/{name}" for name in read_video_list(file)}
    return sorted(listed - set(truth.videos.tolist()))
