"""One's own videos as registered datasets; ``docs/pages/custom-datasets.md`` is the guide."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pcsc_d2.data.datasets import ActionDataset, dataset_root, register_dataset
from pcsc_d2.datasets.custom.description import Description
from pcsc_d2.datasets.custom.one_action import refuse_several_actions
from pcsc_d2.datasets.custom.read import CustomFiles, custom_datasets, custom_files

logger = logging.getLogger(__name__)
_ALL = "all"


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
    paths = [str(Path(path).absolute()) for path in ([annotations] if single else annotations)]
    splits = {} if only is None else {_ALL: list(only)}
    described = Description(**description, splits=splits)
    files = CustomFiles.of(flow_folder or name, paths, described, str(Path(videos).absolute()))
    register_dataset(ActionDataset(name, files, None if only is None else _ALL))


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
        for split in files.description.splits:
            name = f"{folder}_{split}"
            if files.annotations and name not in DatasetCatalog.list():
                register_dataset(ActionDataset(name, files, split, root=root))
                made.append(name)
    return made


def check_registered(names: Iterable[str]) -> None:
    """Look for unknown names of datasets; ValueError says which, and what to do."""
    for name in names:
        if name not in DatasetCatalog.list():
            raise ValueError(
                f"dataset '{name}' is not registered: under {dataset_root()} no folder has a "
                "dataset.json with such a split (docs/pages/custom-datasets.md)"
            )


def check_datasets(cfg: CfgNode) -> None:
    """Look for what would stop training: unknown names, another number of classes, two for a box.

    Raises:
        ValueError: one line that says which, and what to do.
    """
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    check_registered(names)
    for name in names:
        clips = MetadataCatalog.get(name).get("clips")
        if clips is None:
            continue
        truth, classes = clips.ground_truth(), cfg.MODEL.ROI_HEADS.NUM_CLASSES
        labels = truth.labels
        if len(labels) != classes:
            raise ValueError(
                f"dataset '{name}' has {len(labels)} classes ({', '.join(labels[:5])} ...), the "
                f"model {classes}: set MODEL.ROI_HEADS.NUM_CLASSES {len(labels)}"
            )
        if name in cfg.DATASETS.TRAIN and isinstance(clips.files, CustomFiles):
            refuse_several_actions(name, truth)
