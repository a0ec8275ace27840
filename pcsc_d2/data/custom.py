"""One's own videos as registered datasets; ``datasets/OWN_DATA.md`` is the guide."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pcsc_d2.data.datasets import ActionDataset, dataset_root, register_dataset
from pcsc_d2.datasets.custom.description import Description
from pcsc_d2.datasets.custom.read import custom_datasets, custom_files
from pcsc_d2.datasets.custom.tubes import read_own
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video import DecodingRule

logger = logging.getLogger(__name__)
_ALL = "all"


@dataclass(frozen=True, eq=False)
class CustomDataset(ActionDataset):
    """Annotated videos in a folder.

    Attributes:
        name: as registered.
        videos: the folder of videos.
        annotations: the files.
        description: of the dataset.
        split: of the description's; None takes every annotated video.
        flow_folder: of the flow store.
    """

    name: str
    videos: Path
    annotations: tuple[Path, ...]
    description: Description
    split: str | None
    flow_folder: str

    @property
    def title(self) -> str:
        return self.name

    @property
    def decoding(self) -> DecodingRule:
        return self.description.decoding

    def wanted(self) -> GroundTruth:
        issues = AnnotationIssues()
        truth = read_own(self.videos, self.annotations, self.description, issues)
        issues.log(self.annotations[0])
        if self.split is not None:
            truth = truth.select(self.description.videos_of(self.split, truth.videos.tolist()))
        MetadataCatalog.get(self.name).thing_classes = list(truth.labels)
        return truth


def register_action_dataset(
    name: str,
    videos: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    only: Sequence[str] | None = None,
    flow_folder: str | None = None,
    **description: object,
) -> None:
    """Register one's own videos with Detectron2's catalogs, under one name.

    Args:
        name: to be named in DATASETS.TRAIN and DATASETS.TEST.
        videos: the folder of videos.
        annotations: a file or several: CSV, COCO-style JSON, or CVAT's XML or zip.
        only: names or patterns (``train/*``) of the videos that belong to it; None takes all that
            are annotated.
        flow_folder: of the flow store; the name where it is None. Datasets that share videos may
            share it.
        description: what else ``dataset.json`` can say, see ``datasets.custom.description``:
            ``labels``, ``decoding``, ``first_frame``, ``max_gap``, ``label_attribute``.

    Raises:
        ValueError: something in ``description`` that cannot be. What is wrong with the files is
            said when they are first read.
    """
    single = isinstance(annotations, str | os.PathLike)
    files = tuple(Path(path) for path in ([annotations] if single else annotations))
    splits = {} if only is None else {_ALL: list(only)}
    described = Description(**description, splits=splits)
    split = None if only is None else _ALL
    folder = flow_folder or name
    dataset = CustomDataset(name, Path(videos), files, described, split, folder)
    register_dataset(name, dataset, described.labels)


def register_custom_datasets() -> list[str]:
    """Register ``<folder>_<split>`` for every folder under the dataset root with a dataset.json.

    Names that are registered already stay as they are; a ``dataset.json`` that cannot be read is
    reported and left out.

    Returns:
        The new names.
    """
    root, made = dataset_root(), []
    for folder in custom_datasets(root):
        try:
            files = custom_files(root, folder)
        except ValueError as error:
            logger.warning("%s; this dataset is not registered", error)
            continue
        paths = tuple(root / folder / name for name in files.annotations)
        for split in files.description.splits:
            name = f"{folder}_{split}"
            if paths and name not in DatasetCatalog.list():
                videos = root / folder / "videos"
                dataset = CustomDataset(name, videos, paths, files.description, split, folder)
                register_dataset(name, dataset, files.description.labels)
                made.append(name)
    return made


def check_registered(names: Iterable[str]) -> None:
    """Look for unknown names of datasets; ValueError says which, and what to do."""
    for name in names:
        if name not in DatasetCatalog.list():
            raise ValueError(
                f"dataset '{name}' is not registered: under {dataset_root()} no folder has a "
                "dataset.json with such a split (datasets/OWN_DATA.md)"
            )


def check_datasets(cfg: CfgNode) -> None:
    """Look for what would stop training: unknown names, or another number of classes.

    Raises:
        ValueError: one line that says which, and what to do.
    """
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    check_registered(names)
    for name in names:
        clips = MetadataCatalog.get(name).get("clips")
        if clips is None:
            continue
        labels, classes = clips.ground_truth().labels, cfg.MODEL.ROI_HEADS.NUM_CLASSES
        if len(labels) != classes:
            raise ValueError(
                f"dataset '{name}' has {len(labels)} classes ({', '.join(labels[:5])} ...), the "
                f"model {classes}: set MODEL.ROI_HEADS.NUM_CLASSES {len(labels)}"
            )
