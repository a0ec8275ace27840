"""The Detectron2 evaluator of action detection: gather, score frames, link, score tubes, report."""

from __future__ import annotations

import itertools
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from tabulate import tabulate

from pcsc_d2.evaluation.page import write_page
from pcsc_d2.parallel import gather
from pcsc_d2.tubes import (
    Detections,
    GroundTruth,
    Judge,
    LinkOptions,
    Refinement,
    RefineOptions,
    ScoresByIou,
    Tubes,
    TubeStream,
    link,
    refinement_stats,
    video_map,
)
from pcsc_d2.tubes.assembly import concatenate, join_videos
from pcsc_d2.tubes.boxes import to_inclusive
from pcsc_d2.tubes.detections import detection_order
from pcsc_d2.tubes.scoring.candidates import FrameCandidates, TubeCandidates
from pcsc_d2.tubes.scoring.chance import chance
from pcsc_d2.tubes.scoring.metrics import FRAME_IOUS, STRICT_IOUS
from pcsc_d2.tubes.scoring.protocol import get_protocol
from pcsc_d2.tubes.scoring.results import Results
from pcsc_d2.utils.files import write_json
from pcsc_d2.utils.progress import progress_bar

logger = logging.getLogger(__name__)

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
        frame_ious: of frame mAP, beside the mean over 0.5 to 0.95.
        sparse: only the frames that were looked at count; without it the others are missed.
        judge: gives whole tubes their actionness, from the features that detections carry; asked
            only where tubes are refined. None: it is the detections'.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | Path | None = None,
        protocol: str = "act",
        link_options: LinkOptions | None = None,
        refine_options: RefineOptions | None = None,
        distributed: bool = True,
        frame_ious: Sequence[float] = FRAME_IOUS,
        sparse: bool = False,
        judge: Judge | None = None,
    ) -> None:
        self._name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._protocol = get_protocol(protocol)
        self._link_options = link_options
        self._refine_options = refine_options
        self._distributed = distributed
        self._frame_ious = tuple(frame_ious)
        self._sparse = sparse
        self._judge = None if refine_options is None or link_options is None else judge
        self.reset()

    def reset(self) -> None:
        self._stages: dict[str, Frames] = {}
        self._files: dict[str, tuple[str, str]] = {}
        self._features: dict[tuple[str, int], np.ndarray] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Keep the detections of each key frame, and of each stage where the model gives them."""
        for x, output in zip(inputs, outputs):
            key = (x["video_id"], x["frame_index"])
            if "file_name" in x:
                self._files[x["video_id"]] = (x["file_name"], x.get("decoding", "coded"))
            if self._judge is not None:
                self._features[key] = output["instances"].tube_features.cpu().numpy()
            named = {"": output["instances"]}
            named |= {f"_stage{t}": stage for t, stage in enumerate(output.get("stages", []))}
            for name, instances in named.items():
                self._stages.setdefault(name, {})[key] = detection_arrays(instances)

    def evaluate(self) -> OrderedDict | None:
        """Score in percent, by what was scored.

        Returns:
            ``{"frame": {"AP50", "AP75", "AP50:95", "AP50-<class>", ...}, "video": {"AP20", "AP50",
            "AP75", "AP50:95"}, "temporal": {"AP30", ... "AP70", "AP30:70"}, "video_unrefined":
            (where tubes were refined) ..., "frame_stage<t>": ...}``; None on all ranks but the
            first.
        """
        stages = self._gather()
        if stages is None:
            return None
        ground_truth = self._metadata.load_ground_truth()
        if self._sparse:
            ground_truth = ground_truth.at_frames(stages.get("", {}))
        else:
            _report_missing(stages.get("", {}), ground_truth)
        looked_at = stages.pop("", {})
        detections = _to_detections(looked_at, ground_truth)
        tubes, refinement = self._link(detections, looked_at)
        frames = FrameCandidates(detections, ground_truth, self._protocol)
        found = None if tubes is None else TubeCandidates(tubes, ground_truth, self._protocol)
        results = Results.of(self._protocol, frames, found, self._frame_ious)
        scores = OrderedDict(frame=_frame_scores(results.frame, self._frame_ious))
        if tubes is not None:
            scores["video"] = _video_scores(results.video)
            scores["temporal"] = _temporal_scores(results)
        if refinement is not None:
            linked = video_map(refinement.linked, ground_truth, protocol=self._protocol)
            scores["video_unrefined"] = _video_scores(linked)
            logger.info("%s", refinement.summary())
        for name, output in stages.items():
            stage = _to_detections(output, ground_truth)
            frames = FrameCandidates(stage, ground_truth, self._protocol)
            ious = sorted({*self._frame_ious, *STRICT_IOUS})
            stage_scores = ScoresByIou.of(frames, ious)
            scores[f"frame{name}"] = _frame_scores(stage_scores, self._frame_ious)
        logger.info("Protocol %s, mAP in %%:\n%s", self._protocol.name, _table(scores))
        if results.boundaries is not None:
            extents = ", ".join(f"{k} {v:.2f}" for k, v in results.temporal_columns().items())
            logger.info("mAP in %% of extents: %s; %s", extents, results.boundaries.summary())
        guessed = chance(ground_truth, protocol=self._protocol)
        logger.info("Chance (true boxes, classes guessed): frame AP50 %.2f", guessed)
        if self._output_dir is not None:
            self._write(results, detections, tubes, refinement, scores, ground_truth)
        return scores

    def _gather(self) -> dict[str, Frames] | None:
        if not self._distributed or comm.get_world_size() == 1:
            return self._stages
        gathered = gather((self._stages, self._files, self._features))
        if not comm.is_main_process():
            return None
        parts, files, features = zip(*gathered)
        self._files = dict(itertools.chain.from_iterable(f.items() for f in files))
        self._features = dict(itertools.chain.from_iterable(f.items() for f in features))
        names = dict.fromkeys(itertools.chain.from_iterable(parts))
        return {
            name: dict(itertools.chain.from_iterable(p.get(name, {}).items() for p in parts))
            for name in names
        }

    def _link(
        self, detections: Detections, frames: Frames
    ) -> tuple[Tubes | None, Refinement | None]:
        if self._link_options is None:
            return None, None
        if self._judge is None:
            tubes = link(detections, self._link_options, progress=True)
        else:
            tubes = self._link_and_judge(detections, frames)
        if self._refine_options is None or tubes.actionness is None:
            return tubes, None
        refinement = Refinement.of(tubes, self._refine_options)
        return refinement.tubes, refinement

    def _link_and_judge(self, detections: Detections, frames: Frames) -> Tubes:
        """The same tubes, with the actionness that their boxes' features give them as a whole."""
        parts = []
        videos = zip(detections.videos.tolist(), detections.nframes.tolist())
        with progress_bar(len(detections.videos), "linking", "video", True) as bar:
            for video, number in videos:
                names, options = (detections.labels, self._link_options)
                links = TubeStream(names, options, video=video, judge=self._judge)
                keys = ((video, frame) for frame in range(1, number + 1))
                steps = [
                    links.update(key[1], *_in_order(*frames[key][:3], self._features[key])).ended
                    for key in keys
                    if key in frames
                ]
                parts.append(concatenate([*steps, links.finish()]))
                bar.update(1)
        return join_videos(parts)

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
        content = results.to_dict()
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


def _frame_scores(scores: ScoresByIou, ious: Sequence[float]) -> dict[str, float]:
    """``AP50`` and its like, ``AP50:95``, then ``AP50-<class>`` and its like."""
    named = {f"AP{round(100 * iou)}": scores[iou] for iou in ious}
    per_class = {f"{k}-{c}": ap for k, s in named.items() for c, ap in s.per_class.items()}
    means = {name: score.mean for name, score in named.items()} | {"AP50:95": scores.average}
    return means | per_class


def _video_scores(video: ScoresByIou) -> dict[str, float]:
    scores = {f"AP{round(100 * iou)}": video[iou].mean for iou in (0.2, 0.5, 0.75)}
    scores["AP50:95"] = video.average
    per_class = video[0.5].per_class
    return scores | {f"AP50-{label}": ap for label, ap in per_class.items()}


def _temporal_scores(results: Results) -> dict[str, float]:
    """mAP of the tubes' extents: ``AP30`` to ``AP70``, and ``AP30:70``, their mean."""
    values = {f"AP{round(100 * iou)}": score.mean for iou, score in results.temporal.items()}
    return values | {"AP30:70": float(np.mean(list(values.values())))}


def detection_arrays(instances: Instances) -> tuple[np.ndarray, ...]:
    """Boxes (n, 4) as files hold them, scores, classes, and actionness where there is one."""
    boxes = instances.pred_boxes.tensor.to("cpu", torch.float32).numpy()
    arrays = [to_inclusive(boxes), instances.scores, instances.pred_classes]
    if instances.has("actionness"):
        arrays.append(instances.actionness)
    return tuple(a if isinstance(a, np.ndarray) else a.cpu().numpy() for a in arrays)


def _in_order(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray | None, ...]:
    """What ``TubeStream.update`` takes of a frame, in the order in which ``link`` takes it."""
    order = detection_order(boxes, scores, classes)
    return boxes[order], scores[order], classes[order], None, features[order]


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
    """Overall scores of every output's boxes, and per class those of the final one."""
    scores = {name: values for name, values in scores.items() if name != "temporal"}
    overall = (key for values in scores.values() for key in values if "-" not in key)
    columns = sorted(dict.fromkeys(overall), key=lambda key: (":" in key, key))
    rows = [[name, *map(values.get, columns)] for name, values in scores.items()]
    overall = tabulate(rows, headers=["", *columns], tablefmt="pipe", floatfmt=".2f")
    classes = {task: _first_by_class(scores[task]) for task in ("frame", "video") if task in scores}
    rows = [[k, *(by_class[k] for _, by_class in classes.values())] for k in classes["frame"][1]]
    headers = ["class", *(f"{task} {head}" for task, (head, _) in classes.items())]
    per_class = tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=".2f")
    return f"{overall}\n\n{per_class}"


def _first_by_class(scores: dict[str, float]) -> tuple[str, dict[str, float]]:
    """The first column that there is by class, and its values: "AP50", {class: AP}."""
    keys = [key.split("-", 1) for key in scores if "-" in key]
    first = keys[0][0] if keys else ""
    return first, {label: scores[f"{head}-{label}"] for head, label in keys if head == first}
