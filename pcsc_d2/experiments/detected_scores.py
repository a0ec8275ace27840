"""The scores of a model as ``pcsc detect`` runs it: by its reader, on an engine, densely if asked.

Evaluation by ``train_net.py`` looks at each clip by itself, in torch; this is faster by as much as
detection is, and says what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances

from pcsc_d2.detect.detector import ActionDetector
from pcsc_d2.detect.sources import FileSource
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.evaluation import TubeEvaluator
from pcsc_d2.experiments.exported_scores import evaluation_config
from pcsc_d2.models.clip_model import ClipDetections
from pcsc_d2.tubes.boxes import to_exclusive
from pcsc_d2.utils.progress import progress_bar


def detected_scores(
    detector: ActionDetector, datasets: Sequence[str], out: Path, options: Sequence[object] = ()
) -> dict[str, dict]:
    """Detect in all videos of registered datasets, and write what evaluation writes.

    Args:
        detector: gives all detections, whatever their scores.
        datasets: names; their classes are the model's.
        out: a folder for each dataset goes to ``inference`` there.
        options: KEY, VALUE, ... of the config, such as of TEST.

    Returns:
        The evaluator's scores, by dataset.

    Raises:
        ValueError: no such dataset, or its classes are others.
        VideoError: a video that cannot be read.
    """
    cfg = evaluation_config("the model", detector.model.info, datasets, out, options)
    scores = {}
    for name in datasets:
        evaluator = Trainer.build_evaluator(cfg, name, getattr(detector.model, "judge", None))
        _process(detector, name, evaluator)
        scores[name] = evaluator.evaluate()
    return scores


def _process(detector: ActionDetector, dataset: str, evaluator: TubeEvaluator) -> None:
    clips = sorted(DatasetCatalog.get(dataset), key=lambda d: (d["video_id"], d["frame_index"]))
    with progress_bar(len(clips), f"detecting in {dataset}", "key frame", True) as bar:
        for _, group in groupby(clips, key=lambda d: d["video_id"]):
            of_video = {d["frame_index"]: d for d in group}
            for clip, found in _found(detector, of_video):
                evaluator.process([clip], [{"instances": found}])
                bar.update()


def _found(detector: ActionDetector, clips: dict[int, dict]) -> Iterator[tuple[dict, Instances]]:
    """What is found in the key frames of a video, of those that the dataset has."""
    first = next(iter(clips.values()))
    source = FileSource(Path(first["file_name"]), rule=first["decoding"])
    for number, _, found in detector.detections(source):
        if number in clips:
            yield clips[number], _instances(found, (first["height"], first["width"]))


def _instances(found: ClipDetections, size: tuple[int, int]) -> Instances:
    instances = Instances(size)
    instances.pred_boxes = Boxes(torch.from_numpy(to_exclusive(found.boxes)))
    instances.scores = torch.from_numpy(found.scores)
    instances.pred_classes = torch.from_numpy(found.classes)
    if found.actionness is not None:
        instances.actionness = torch.from_numpy(found.actionness)
    if found.features is not None:
        instances.tube_features = torch.from_numpy(found.features)
    return instances
