"""The Detectron2 evaluator of action detection: gather, score frames, link, score tubes, report."""

from __future__ import annotations

import itertools
import json
import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from tabulate import tabulate

from ..tubes import Detections, GroundTruth, frame_map

logger = logging.getLogger(__name__)

FRAME_THRESHOLDS = (0.5, 0.75)
Frames = dict[tuple[str, int], tuple[np.ndarray, ...]]


class TubeEvaluator(DatasetEvaluator):
    """Frame mAP of a registered dataset's key frames, in percent.

    The dataset's metadata gives ``load_ground_truth``, a function of no arguments. Detections are
    keyed by video and frame, since Detectron2 may cut a video across ranks.

    Args:
        dataset_name: a name registered in Detectron2's catalogs.
        output_dir: where ``detections.npz`` and ``results.json`` go; None writes nothing.
        protocol: ``"act"`` or ``"voc"``.
        distributed: gather the detections of all ranks.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | Path | None = None,
        protocol: str = "act",
        distributed: bool = True,
    ) -> None:
        self._metadata = MetadataCatalog.get(dataset_name)
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._protocol = protocol
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        self._stages: dict[str, Frames] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Keep the detections of each key frame, and of each stage where the model gives them."""
        for x, output in zip(inputs, outputs):
            key = (x["video_id"], x["frame_index"])
            named = {"": output["instances"]}
            named |= {f"_stage{t}": stage for t, stage in enumerate(output.get("stages", []))}
            for name, instances in named.items():
                self._stages.setdefault(name, {})[key] = _to_arrays(instances)

    def evaluate(self) -> OrderedDict | None:
        """``{"frame": {"AP50", "AP75", "AP50-<class>"}, "frame_stage<t>": ...}`` in percent.

        Returns None on all ranks but the first.
        """
        stages = self._gather()
        if stages is None:
            return None
        ground_truth = self._metadata.load_ground_truth()
        _report_missing(stages.get("", {}), ground_truth)
        results = OrderedDict()
        for name, frames in stages.items():
            detections = _to_detections(frames, ground_truth)
            results[f"frame{name}"] = self._score_frames(detections, ground_truth)
            if name == "" and self._output_dir is not None:
                self._output_dir.mkdir(parents=True, exist_ok=True)
                detections.save(self._output_dir / "detections.npz")
        logger.info("Frame mAP (%%), protocol %s:\n%s", self._protocol, _table(results))
        if self._output_dir is not None:
            text = json.dumps(results, indent=1)
            (self._output_dir / "results.json").write_text(text + "\n")
        return results

    def _gather(self) -> dict[str, Frames] | None:
        if not self._distributed or comm.get_world_size() == 1:
            return self._stages
        gathered = comm.gather(self._stages)
        if not comm.is_main_process():
            return None
        names = dict.fromkeys(itertools.chain.from_iterable(gathered))
        return {
            name: dict(itertools.chain.from_iterable(g.get(name, {}).items() for g in gathered))
            for name in names
        }

    def _score_frames(self, detections: Detections, ground_truth: GroundTruth) -> dict[str, float]:
        scores, per_class = {}, {}
        for iou in FRAME_THRESHOLDS:
            result = frame_map(detections, ground_truth, iou=iou, protocol=self._protocol)
            column = f"AP{round(100 * iou)}"
            scores[column] = result.mean
            per_class |= {f"{column}-{label}": ap for label, ap in result.per_class.items()}
        return scores | per_class


def _to_arrays(instances: Instances) -> tuple[np.ndarray, ...]:
    boxes = instances.pred_boxes.tensor.to("cpu", torch.float32).numpy().copy()
    # Detectron2's boxes end where the last pixel ends; files hold the last pixel itself.
    boxes[:, 2:] = np.maximum(boxes[:, 2:] - 1, boxes[:, :2])
    arrays = [boxes, instances.scores, instances.pred_classes]
    if instances.has("actionness"):
        arrays.append(instances.actionness)
    return tuple(a if isinstance(a, np.ndarray) else a.cpu().numpy() for a in arrays)


def _to_detections(frames: Frames, ground_truth: GroundTruth) -> Detections:
    return Detections.from_frames(
        ground_truth.videos, ground_truth.labels, ground_truth.nframes, frames
    )


def _report_missing(frames: Frames, ground_truth: GroundTruth) -> None:
    expected = int(ground_truth.nframes.sum())
    if len(frames) < expected:
        logger.warning(
            "%d of %d frames were not looked at and count as frames without detections",
            expected - len(frames),
            expected,
        )


def _table(results: dict[str, dict[str, float]]) -> str:
    """Overall scores of every stage, and per class those of the final output."""
    columns = [c for c in results["frame"] if "-" not in c]
    rows = [[name, *(f"{scores[c]:.2f}" for c in columns)] for name, scores in results.items()]
    overall = tabulate(rows, headers=["output", *columns], tablefmt="pipe")
    labels = [c.split("-", 1)[1] for c in results["frame"] if c.startswith(f"{columns[0]}-")]
    rows = [[k, *(f"{results['frame'][f'{c}-{k}']:.2f}" for c in columns)] for k in labels]
    per_class = tabulate(rows, headers=["class", *columns], tablefmt="pipe")
    return f"{overall}\n\n{per_class}"
