"""What frozen trunks say of an action: a linear classifier of their maps in the true boxes.

python tests/benchmarks/trunk_probe.py --config-file jhmdb/pcsc_difference_frozen.yaml
    [--levels c4 c5] [--fit jhmdb_split1_fit] [--val jhmdb_split1_val] [KEY VALUE ...]

Each key frame's maps are averaged over its first annotated box. The classifier learns from the key
frames of the datasets ``--fit``, and is right on so many of ``--val``: for each stream of the
config, for both side by side, and for the sum of their probabilities. Maps that ``pcsc features``
has not made yet are made first.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from tqdm import tqdm

from pcsc_d2.data.datasets import training_dicts
from pcsc_d2.engine.features import build_mapper, precompute_features
from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.i3d import STRIDES
from pcsc_d2.model_zoo import get_config

# Weight of the classifier's squared weights; a tenth or five times as much changes little.
_DECAY = 0.01


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--levels", nargs="+", default=["c4", "c5"], choices=sorted(STRIDES))
    parser.add_argument("--fit", nargs="+", default=["jhmdb_split1_fit"], metavar="DATASET")
    parser.add_argument("--val", nargs="+", default=["jhmdb_split1_val"], metavar="DATASET")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE")
    args = parser.parse_intermixed_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    cfg = get_config(args.config_file, [*args.opts, "INPUT.RANDOM_FLIP", "none"])
    fit, fit_classes = pooled(cfg, args.fit, args.levels)
    val, val_classes = pooled(cfg, args.val, args.levels)
    print(f"{len(fit_classes)} key frames to learn from, {len(val_classes)} to be right on")
    classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    each = {s: classify(fit[s], fit_classes, val[s], classes) for s in STREAMS}
    both = (torch.cat([x[s] for s in STREAMS], dim=1) for x in (fit, val))
    each["side by side"] = classify(next(both), fit_classes, next(both), classes)
    each["probabilities"] = sum(each[s].softmax(1) for s in STREAMS)
    for name, scores in each.items():
        right = (scores.argmax(1) == val_classes).float().mean()
        print(f"{name}: {100 * right:.1f} %")


def pooled(
    cfg: CfgNode, names: Sequence[str], levels: Sequence[str]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The mean of some levels in the first box of each key frame.

    Args:
        cfg: of cached maps.
        names: registered datasets.
        levels: of the maps.

    Returns:
        By stream (N, C of all levels), and (N,) classes.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASETS.TRAIN = tuple(names)
    precompute_features(cfg, train=True)
    mapper = build_mapper(cfg, is_train=True)
    poolers = {x: ROIPooler(4, (1 / STRIDES[x][1],), 0, "ROIAlignV2") for x in levels}
    vectors: dict[str, list[torch.Tensor]] = {s: [] for s in STREAMS}
    classes = []
    for clip in tqdm(training_dicts(cfg), "pooling", leave=False):
        example = mapper(clip)
        if example is None or not len(example["instances"]):
            continue
        box = Boxes(example["instances"].gt_boxes.tensor[:1])
        classes.append(int(example["instances"].gt_classes[0]))
        for s, maps in example["features"].items():
            found = [poolers[x]([maps[x][None].float()], [box]).mean((0, 2, 3)) for x in levels]
            vectors[s].append(torch.cat(found))
    return {s: torch.stack(x) for s, x in vectors.items()}, torch.tensor(classes)


def classify(
    fit: torch.Tensor, classes: torch.Tensor, val: torch.Tensor, number: int
) -> torch.Tensor:
    """Logits (M, number) of ``val`` (M, C) by the classifier of ``fit`` (N, C) and its classes."""
    mean, deviation = fit.mean(0), fit.std(0).clamp(min=1e-6)
    fit, val = (fit - mean) / deviation, (val - mean) / deviation
    weights = torch.zeros(fit.shape[1], number, requires_grad=True)
    bias = torch.zeros(number, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        entropy = torch.nn.functional.cross_entropy(fit @ weights + bias, classes)
        total = entropy + _DECAY * weights.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        return val @ weights + bias


if __name__ == "__main__":
    main()
