"""One's own videos: a folder of videos, annotation files and a ``dataset.json``.

``docs/pages/custom-datasets.md`` is the guide. Under the dataset root:

    <name>/dataset.json       what is described by ``Description``
    <name>/videos/            video files or folders of frames, in folders or not
    <name>/annotations.csv    or .json, or .xml and .zip of CVAT, or a folder "annotations" of them
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pcsc_d2.datasets.custom.description import DESCRIPTION, Description
from pcsc_d2.datasets.custom.tubes import read_own
from pcsc_d2.datasets.layout import DatasetFiles, dataset_files, datasets_under
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video.files import find_videos, is_hidden

_SUFFIXES = (".csv", ".json", ".xml", ".zip")


@dataclass(frozen=True)
class CustomFiles(DatasetFiles):
    """The files of one's own dataset: ``annotations`` are all read, not the first alone.

    Paths may be absolute, of files that are not under the root.
    """

    description: Description = field(default_factory=Description)

    @classmethod
    def of(
        cls,
        name: str,
        annotations: Sequence[str],
        description: Description,
        video_folder: str = "videos",
    ) -> CustomFiles:
        """The files that a description is of."""
        options = (None, description.labels, video_folder, description)
        return cls(name, description.decoding, tuple(annotations), *options)

    def ground_truth(self, root: Path, issues: AnnotationIssues) -> GroundTruth:
        folder = Path(root) / self.name
        paths = [folder / name for name in self.annotations]
        if not paths:
            expected = ", ".join(f"annotations{suffix}" for suffix in _SUFFIXES)
            raise FileNotFoundError(f"{folder}: no annotations there, expected {expected}")
        truth = read_own(self.videos(root), paths, self.description, issues)
        names, splits = truth.videos.tolist(), self.description.splits
        sides = {split: self.description.videos_of(split, names) for split in splits}
        train, test = sides.get("train", []), sides.get("test", [])
        return replace(truth, train=[train], test=[test]) if splits else truth

    def select(self, truth: GroundTruth, part: str, split: int = 1) -> GroundTruth:
        return truth.select(self.description.videos_of(part, truth.videos.tolist()))

    def log(self, issues: AnnotationIssues, root: Path) -> None:
        issues.log(root / self.name / self.annotations[0])

    def videos_there(self, root: Path, truth: GroundTruth) -> list[str]:
        return list(find_videos(self.videos(root)))


def custom_files(root: str | os.PathLike[str], name: str) -> CustomFiles:
    """The files of the dataset in a folder under a root that has a ``dataset.json``."""
    folder = Path(root) / name
    description = Description.load(folder / DESCRIPTION)
    here = [*folder.glob("annotations.*"), *folder.glob("annotations/*")]
    files = sorted(p for p in here if p.suffix.lower() in _SUFFIXES and not is_hidden(p.name))
    names = [str(p.relative_to(folder)) for p in files]
    return CustomFiles.of(name, names, description)


def custom_datasets(root: str | os.PathLike[str]) -> list[str]:
    """Names of the folders under a root that have a ``dataset.json``."""
    return sorted(path.parent.name for path in Path(root).glob(f"*/{DESCRIPTION}"))


def any_files(root: str | os.PathLike[str], name: str) -> DatasetFiles:
    """The files of a dataset, one's own or a known one; ValueError for another name."""
    if (Path(root) / name / DESCRIPTION).is_file():
        return custom_files(root, name)
    return dataset_files(name)


def all_datasets(root: str | os.PathLike[str]) -> list[str]:
    """Names of all datasets that have a folder under a root."""
    known = datasets_under(root)
    return known + [name for name in custom_datasets(root) if name not in known]
