"""The Detectron2 evaluator of action detection: gather, score frames, link, score tubes, report."""

from __future__ import annotations

import itertools
import logging
import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from tabulate import tabulate

from pcsc_d2.evaluation.page import write_page
from pcsc_d2.tubes import (
    Detections,
    GroundTruth,
    LinkOptions,
    Refinement,
    RefineOptions,
    Score,
    Tubes,
    VideoScores,
    link,
    refinement_stats,
    video_map,
)
from pcsc_d2.tubes.boxes import to_inclusive
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.chance import chance
from pcsc_d2.tubes.scoring.metrics import average_precision
from pcsc_d2.tubes.scoring.protocol import get_protocol
from pcsc_d2.tubes.scoring.results import FRAME_IOU, Results
from pcsc_d2.utils.files import write_json

logger = logging.getLogger(__name__)

STRICT_FRAME_IOU = 0.75
Frames = dict[tuple[str, int], tuple[np.ndarray, ...]]


class TubeEvaluator(DatasetEvaluator):
    """Frame mAP and video mAP of a registered dataset, in percent.

    The dataset's metadata gives ``load_ground_truth``, a function of no arguments. Detections are
    keyed by video and frame, since Detectron2 may cut a video across ranks.

    Args:
        dataset_name: a name registered in Detectron2's catalogs.
        output_dir: where ``detections.npz``, ``tubes.npz`` (and ``tubes_unrefined.npz``),
            ``results.json`` and ``page.html`` go; None writes nothing.
        protocol: ``"act"`` or ``"voc"``.
        link_options: how detections become tubes; None scores frames alone.
        refine_options: refines tubes whose detections carry actionness; None leaves them.
        distributed: gather the detections of all ranks.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | Path | None = None,
        protocol: str = "act",
        link_options: LinkOptions | None = None,
        refine_options: RefineOptions | None = None,
        distributed: bool = True,
    ) -> None:
        self._name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._protocol = get_protocol(protocol)
        self._link_options = link_options
        self._refine_options = refine_options
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        self._stages: dict[str, Frames] = {}
        self._files: dict[str, tuple[str, str]] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Keep the detections of each key frame, and of each stage where the model gives them."""
        for x, output in zip(inputs, outputs):
            key = (x["video_id"], x["frame_index"])
            if "file_name" in x:
                self._files[x["video_id"]] = (x["file_name"], x.get("decoding", "coded"))
            named = {"": output["instances"]}
            named |= {f"_stage{t}": stage for t, stage in enumerate(output.get("stages", []))}
            for name, instances in named.items():
                self._stages.setdefault(name, {})[key] = detection_arrays(instances)

    def evaluate(self) -> OrderedDict | None:
        """Score in percent, by what was scored.

        Returns:
            ``{"frame": {"AP50", "AP75", "AP50-<class>", ...}, "video": {"AP20", "AP50", "AP75",
            "AP50:95"}, "video_unrefined": (where tubes were refined) ..., "frame_stage<t>": ...}``;
            None on all ranks but the first.
        """
        stages = self._gather()
        if stages is None:
            return None
        ground_truth = self._metadata.load_ground_truth()
        _report_missing(stages.get("", {}), ground_truth)
        detections = _to_detections(stages.pop("", {}), ground_truth)
        tubes, refinement = self._link(detections)
        frames = FrameCandidates(detections, ground_truth, self._protocol)
        found = None if tubes is None else TubeCandidates(tubes, ground_truth, self._protocol)
        results = Results.of(self._protocol, frames, found)
        strict = average_precision(frames, STRICT_FRAME_IOU)
        scores = OrderedDict(frame=_frame_scores(results.frame, strict))
        if tubes is not None:
            scores["video"] = _video_scores(results.video)
        if refinement is not None:
            linked = video_map(refinement.linked, ground_truth, protocol=self._protocol)
            scores["video_unrefined"] = _video_scores(linked)
            logger.info("%s", refinement.summary())
        for name, output in stages.items():
            stage = _to_detections(output, ground_truth)
            frames = FrameCandidates(stage, ground_truth, self._protocol)
            pair = (average_precision(frames, iou) for iou in (FRAME_IOU, STRICT_FRAME_IOU))
            scores[f"frame{name}"] = _frame_scores(*pair)
        logger.info("Protocol %s, mAP in %%:\n%s", self._protocol.name, _table(scores))
        guessed = chance(ground_truth, protocol=self._protocol)
        logger.info("Chance (true boxes, classes guessed): frame AP50 %.2f", guessed)
        if self._output_dir is not None:
            self._write(results, detections, tubes, refinement, scores, ground_truth)
        return scores

    def _gather(self) -> dict[str, Frames] | None:
        if not self._distributed or comm.get_world_size() == 1:
            return self._stages
        gathered = comm.gather((self._stages, self._files))
        if not comm.is_main_process():
            return None
        self._files = dict(itertools.chain.from_iterable(files.items() for _, files in gathered))
        parts = [stages for stages, _ in gathered]
        names = dict.fromkeys(itertools.chain.from_iterable(parts))
        return {
            name: dict(itertools.chain.from_iterable(p.get(name, {}).items() for p in parts))
            for name in names
        }

    def _link(self, detections: Detections) -> tuple[Tubes | None, Refinement | None]:
        if self._link_options is None:
            return None, None
        tubes = link(detections, self._link_options, progress=True)
        if self._refine_options is None or tubes.actionness is None:
            return tubes, None
        refinement = Refinement.of(tubes, self._refine_options)
        return refinement.tubes, refinement

    def _write(
        self,
        results: Results,
        detections: Detections,
        tubes: Tubes | None,
        refinement: Refinement | None,
        scores: dict[str, dict[str, float]],
        truth: GroundTruth,
    ) -> None:
        folder = self._output_dir
        folder.mkdir(parents=True, exist_ok=True)
        detections.save(folder / "detections.npz")
        if tubes is not None:
            tubes.save(folder / "tubes.npz")
        if refinement is not None:
            refinement.linked.save(folder / "tubes_unrefined.npz")
        stages = {k.removeprefix("frame_"): v for k, v in scores.items() if k[:6] == "frame_"}
        content = results.to_dict() | {"frame_at_075": _number(scores["frame"]["AP75"])}
        if stages:
            content["stages"] = {
                name: {column: _number(value) for column, value in columns.items()}
                for name, columns in stages.items()
            }
        if refinement is not None:
            figures = refinement_stats(refinement, truth)
            content["refinement"] = {k: _number(v) for k, v in figures.items()}
            before = scores["video_unrefined"].items()
            content["refinement"]["video_unrefined"] = {k: _number(v) for k, v in before}
        write_json(folder / "results.json", content)
        page = folder / "page.html"
        write_page(page, self._name, results, tubes, truth, self._files, refinement)
        logger.info("Wrote detections, tubes, results.json and page.html to %s", folder)


def _number(score: float) -> float | None:
    """None for NaN (a class without ground truth), which JSON cannot say."""
    return None if math.isnan(score) else score


def _frame_scores(*scores: Score) -> dict[str, float]:
    """``AP50`` and its like, one for each score, then ``AP50-<class>`` and its like."""
    named = {f"AP{round(100 * score.iou)}": score for score in scores}
    per_class = {f"{k}-{c}": ap for k, s in named.items() for c, ap in s.per_class.items()}
    return {name: score.mean for name, score in named.items()} | per_class


def _video_scores(video: VideoScores) -> dict[str, float]:
    scores = {f"AP{round(100 * iou)}": video[iou].mean for iou in (0.2, 0.5, 0.75)}
    scores["AP50:95"] = video.average
    per_class = video[0.5].per_class
    return scores | {f"AP50-{label}": ap for label, ap in per_class.items()}


def detection_arrays(instances: Instances) -> tuple[np.ndarray, ...]:
    """Boxes (n, 4) as files hold them, scores, classes, and actionness where there is one."""
    boxes = instances.pred_boxes.tensor.to("cpu", torch.float32).numpy()
    arrays = [to_inclusive(boxes), instances.scores, instances.pred_classes]
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


def _table(scores: dict[str, dict[str, float]]) -> str:
    """Overall scores of every output, and per class those of the final one."""
    columns = ["AP20", "AP50", "AP75", "AP50:95"]
    rows = [[name, *map(values.get, columns)] for name, values in scores.items()]
    overall = tabulate(rows, headers=["", *columns], tablefmt="pipe", floatfmt=".2f")
    labels = [c.split("-", 1)[1] for c in scores["frame"] if c.startswith("AP50-")]
    tasks = [task for task in ("frame", "video") if task in scores]
    rows = [[k, *(scores[task][f"AP50-{k}"] for task in tasks)] for k in labels]
    headers = ["class", *(f"{task} AP50" for task in tasks)]
    per_class = tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=".2f")
    return f"{overall}\n\n{per_class}"
