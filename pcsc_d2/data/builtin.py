"""The registered datasets: UCF101-24, J-HMDB and the generated clips.

They are read under Detectron2's dataset root, the environment variable ``DETECTRON2_DATASETS``
("datasets" where it is not set); ``datasets/README.md`` shows the layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pcsc_d2.data.datasets import ActionDataset, dataset_root, register_dataset
from pcsc_d2.data.ground_truth import LABELS, read_ground_truth
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video import DecodingRule


@dataclass(frozen=True)
class ClipDataset(ActionDataset):
    """A part of a dataset as it is registered.

    Attributes:
        folder: under the dataset root, a name known to ``video.dataset_files``.
        part: ``"train"``, ``"val"`` or ``"test"``.
        split: 1-based.
        every: frames 1, 1 + every, 1 + 2 every, ... of each video are key frames; their clips
            are at stride 1 all the same.
    """

    folder: str
    part: str
    split: int = 1
    every: int = 1

    @property
    def title(self) -> str:
        return self.part

    @property
    def decoding(self) -> DecodingRule:
        return dataset_files(self.folder).decoding

    @property
    def flow_folder(self) -> str:
        return self.folder

    @property
    def videos(self) -> Path:
        return dataset_root() / self.folder / "videos"

    def wanted(self) -> GroundTruth:
        return read_ground_truth(dataset_root(), self.folder, self.part, self.split)


def register(name: str, dataset: ClipDataset) -> None:
    """Register a part of a dataset with Detectron2's catalogs."""
    register_dataset(name, dataset, LABELS[dataset.folder])


def register_all() -> None:
    """Register all datasets of this module."""
    for part in ("train", "test"):
        register(f"ucf101_24_{part}", ClipDataset("ucf24", part))
        for split in (1, 2, 3):
            register(f"jhmdb_split{split}_{part}", ClipDataset("jhmdb", part, split))
    # The paper's ablation set "mini-UCF-101-24"; it is tested on ucf101_24_test.
    register("ucf101_24_mini_train", ClipDataset("ucf24", "train", every=10))
    for kind in ("easy", "pairs"):
        for part in ("train", "val", "test"):
            register(f"synthetic_{kind}_{part}", ClipDataset(f"synthetic/{kind}", part))
