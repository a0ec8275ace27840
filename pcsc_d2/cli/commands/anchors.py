"""See how well a config's anchors fit the boxes of a dataset, before training.

Prints the share of the boxes that an anchor overlaps by IoU 0.5 and 0.7, and how many anchors of
a frame are positive by MODEL.RPN.IOU_THRESHOLDS (with one or two, an RPN learns slowly); then the
same for sizes and ratios at quantiles of the boxes' own, which leave out the smallest and largest
(take what the table says is better), and from which levels the boxes are pooled.
Annotations are enough: videos need not be there.

    pcsc anchors --config-file jhmdb/pcsc.yaml
    pcsc anchors --config-file jhmdb/pcsc.yaml MODEL.RPN.IOU_THRESHOLDS "[0.3,0.7]"
    pcsc anchors --config-file custom.yaml --datasets fights_train

Exit status: 0; 2 if a dataset cannot be read.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pcsc_d2.cli.arguments import Names, add_config, whole

if TYPE_CHECKING:
    from pcsc_d2.data.anchors import AnchorFit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc anchors``."""
    parser.add_argument(
        "--datasets",
        nargs="+",
        action=Names,
        metavar="NAME",
        help="registered names (DATASETS.TRAIN)",
    )
    parser.add_argument(
        "--frames", type=whole(1), default=2000, metavar="N", help="looked at (%(default)s)"
    )
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    from pcsc_d2.data import check_registered, register_custom_datasets
    from pcsc_d2.data.anchors import boxes_of, measure, pooled_levels, suggest
    from pcsc_d2.model_zoo import get_config

    if args.frames < 1:
        raise ValueError(f"--frames {args.frames}: at least one")
    cfg = get_config(args.config_file, args.opts)
    register_custom_datasets()
    names = args.datasets or cfg.DATASETS.TRAIN
    check_registered(names)
    frames = boxes_of(cfg, names, args.frames)
    suggested = suggest(cfg, frames)
    size = " x ".join(map(str, frames[0].size))
    boxes = sum(len(frame.boxes) for frame in frames)
    print(f"{', '.join(names)}: {boxes} boxes in {len(frames)} frames, the first of {size}")
    thresholds = ", ".join(f"{t:g}" for t in cfg.MODEL.RPN.IOU_THRESHOLDS)
    print(f"positive by IOU_THRESHOLDS [{thresholds}]\n")
    print(_table({"config": measure(cfg, frames), "suggested": measure(suggested, frames)}))
    shares = ", ".join(f"{k} {100 * v:.1f} %" for k, v in pooled_levels(cfg, frames).items())
    canonical = cfg.MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE
    print(f"\nboxes are pooled from: {shares} (POOLER_CANONICAL_SIZE {canonical})")


def _table(fits: dict[str, AnchorFit]) -> str:
    rows = [("anchors", "IoU 0.5", "IoU 0.7", "best IoU", "positive a frame")]
    for name, fit in fits.items():
        low, high = (f"{100 * recall:.1f} %" for recall in fit.recall)
        rows.append((name, low, high, f"{fit.best:.2f}", f"{fit.positives:.1f}"))
    lines = ["".join(f"{cell:<18}" for cell in row).rstrip() for row in rows]
    described = [f"{name}: SIZES {f.sizes} ASPECT_RATIOS {f.ratios}" for name, f in fits.items()]
    return "\n".join([*lines, "", *described])
