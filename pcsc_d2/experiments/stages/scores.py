"""Everything the stages' table needs of one trained model, from one pass over the test clips.

    python -m pcsc_d2.experiments.stages.scores RUN_FOLDER DATASET

Writes ``RUN_FOLDER/stages_<DATASET>.json``: frame AP of every stage under every way of putting
scores together, and of either stream alone at stage 0, by kind of actor where the dataset tells
kinds, and the recall of every stage's proposals by where they come from; ``stages_<DATASET>/``, the
detections of the last stage and of either stream; and
``recovered_<DATASET>/``, pictures of actors that one stream had lost and the other's proposal
brought back.
"""

from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import detector_postprocess
from tqdm import tqdm

from pcsc_d2.data import dataset_root, evaluated_truth
from pcsc_d2.datasets.synthetic.truth import actor_types
from pcsc_d2.engine import Trainer
from pcsc_d2.evaluation.tube_evaluator import detection_arrays
from pcsc_d2.experiments.proposal_recall import ProposalRecall, truth_by_frame
from pcsc_d2.experiments.recovered_actors import RecoveredActors
from pcsc_d2.experiments.runs import load_detector
from pcsc_d2.experiments.stages.differences import alone, detections_folder
from pcsc_d2.modeling import TwoStreamRCNN
from pcsc_d2.modeling.proposal_cooperation import StageOutput
from pcsc_d2.modeling.stages.outputs import MODES
from pcsc_d2.tubes import Detections, GroundTruth
from pcsc_d2.tubes.scoring.candidates import FrameCandidates
from pcsc_d2.tubes.scoring.metrics import average_precision
from pcsc_d2.utils.files import write_json

KeyFrame = tuple[str, int]


@torch.no_grad()
def head_outputs(
    cfg: CfgNode, model: TwoStreamRCNN, dataset: str
) -> Iterator[tuple[list[dict], list[StageOutput]]]:
    """Model inputs of all key frames, a batch at a time, and what every head says of them."""
    loader = Trainer.build_test_loader(cfg, dataset)
    for inputs in tqdm(loader, f"scoring on {dataset}", unit="batch"):
        images, pyramids = model.extract_features(inputs)
        proposals, _ = model.propose(images, pyramids, None)
        yield inputs, model.roi_heads.head_outputs(pyramids, proposals)


def score_run(folder: Path, dataset: str) -> dict:
    """Score a trained run; see the top of this module for what comes out."""
    cfg, model = load_detector(folder)
    truth = evaluated_truth(cfg, dataset)
    # They are told of whole tubes, of which some key frames are but parts.
    kinds = None if cfg.TEST.KEY_FRAMES else kinds_of(truth, dataset)
    frames: dict[tuple[str, int], dict[KeyFrame, tuple]] = defaultdict(dict)
    at_frame = truth_by_frame(truth)
    recall, recovered_actors = ProposalRecall(), RecoveredActors()
    for inputs, sources in head_outputs(cfg, model, dataset):
        outputs = {mode: model.roi_heads.detections(sources, mode, True) for mode in MODES}
        for source in sources[:2]:  # stage 0
            outputs[alone(source.stream)] = model.roi_heads.detections([source], "union", False)
        for i, x in enumerate(inputs):
            key = (x["video_id"], x["frame_index"])
            for mode, stages in outputs.items():
                for stage, of_batch in enumerate(stages):
                    # It scales the boxes that it is given in place, and pictures want them too.
                    own = copy.deepcopy(of_batch[i])
                    scaled = detector_postprocess(own, x["height"], x["width"])
                    frames[mode, stage][key] = detection_arrays(scaled)
            annotated = at_frame.get(key)
            if annotated is not None:
                recall.add(annotated, sources, i, (x["height"], x["width"]))
                if "rgb" in x:  # pictures need the frames, which cached maps do without
                    recovered_actors.add(x, annotated, sources, outputs["union"][-1][i], i)
    recovered_actors.draw(folder / f"recovered_{dataset}", truth.labels)
    detections = {
        key: Detections.from_frames(truth.videos, truth.labels, truth.nframes, found)
        for key, found in frames.items()
    }
    _save(detections, detections_folder(folder, dataset))
    return {
        "frame": {
            f"{mode}/{stage}": _scores(found, truth, kinds)
            for (mode, stage), found in detections.items()
        },
        "recall": recall.by_kind(kinds),
    }


def _save(detections: dict[tuple[str, int], Detections], folder: Path) -> None:
    """Write the last stage's of each way of putting scores together."""
    folder.mkdir(exist_ok=True)
    last = {mode: detections[mode, stage] for mode, stage in sorted(detections)}
    for mode, found in last.items():
        found.save(folder / f"{mode}.npz")


def kinds_of(truth: GroundTruth, dataset: str) -> np.ndarray | None:
    """The kind of actor of every tube; None where a dataset does not tell kinds."""
    parts = dataset.split("_")
    if parts[0] != "synthetic":
        return None
    return actor_types(truth, dataset_root() / "synthetic" / parts[1] / "actors.json")


def _scores(found: Detections, truth: GroundTruth, kinds: np.ndarray | None) -> dict[str, float]:
    candidates = FrameCandidates(found, truth)
    scores = {f"AP{round(100 * x)}": average_precision(candidates, x).mean for x in (0.5, 0.75)}
    for kind in [] if kinds is None else np.unique(kinds).tolist():
        ignored = np.repeat(kinds != kind, truth.tubes.lengths)
        scores[f"AP50 {kind}"] = average_precision(candidates, 0.5, ignored).mean
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pcsc_d2.experiments.stages.scores")
    parser.add_argument("folder", type=Path)
    parser.add_argument("dataset")
    args = parser.parse_args()
    scores = score_run(args.folder, args.dataset)
    write_json(args.folder / f"stages_{args.dataset}.json", scores)


if __name__ == "__main__":
    main()
