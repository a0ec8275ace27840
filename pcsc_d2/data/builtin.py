"""The registered datasets: UCF101-24, J-HMDB and the generated clips.

They are read under Detectron2's dataset root, the environment variable ``DETECTRON2_DATASETS``
("datasets" where it is not set); ``datasets/README.md`` shows the layout.
"""

from __future__ import annotations

from pcsc_d2.data.datasets import ActionDataset, register_dataset
from pcsc_d2.datasets.layout import dataset_files


def register(name: str, folder: str, part: str, split: int = 1, every: int = 1) -> None:
    """Register a part of the dataset in a folder under the dataset root; see ``ActionDataset``."""
    register_dataset(ActionDataset(name, dataset_files(folder), part, split, every))


def register_all() -> None:
    """Register all datasets of this module."""
    # "fit" and "val" are the training side in two parts that share no film.
    for part in ("train", "test", "fit", "val"):
        register(f"ucf101_24_{part}", "ucf24", part)
        for split in (1, 2, 3):
            register(f"jhmdb_split{split}_{part}", "jhmdb", part, split)
    # The paper's ablation set "mini-UCF-101-24"; it is tested on ucf101_24_test.
    register("ucf101_24_mini_train", "ucf24", "train", every=10)
    for kind in ("easy", "pairs"):
        for part in ("train", "val", "test"):
            register(f"synthetic_{kind}_{part}", f"synthetic/{kind}", part)
