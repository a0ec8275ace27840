"""Generate clips with known tubes, to try everything without data: ROOT/synthetic/SET.

`easy` has four classes that one stream can tell, `pairs` nine that only both together tell.

    pcsc generate --root datasets --set easy

With --custom csv (or coco, cvat, ava) the set is written once more, as ROOT/<set>_csv, in the
layout of one's own data.
"""

from __future__ import annotations

import argparse

from pcsc_d2.cli.arguments import named_path, whole

SETS = ("easy", "pairs")
SPLITS = ("train", "val", "test")
FORMATS = ("csv", "coco", "cvat", "ava")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc generate``."""
    parser.add_argument(
        "--root", required=True, type=named_path, metavar="DIR", help="of all datasets"
    )
    parser.add_argument("--set", default="pairs", choices=SETS, dest="name")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=whole(0, 1 << 20), metavar="CLIPS")
    parser.add_argument(
        "--size", type=whole(1, 1 << 12), nargs=2, default=(96, 128), metavar=("H", "W")
    )
    parser.add_argument(
        "--length", type=whole(1, 1 << 16), nargs=2, default=(40, 60), metavar=("MIN", "MAX")
    )
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument(
        "--scale",
        type=whole(1, 64),
        default=1,
        metavar="N",
        help="render N times as large, to look at",
    )
    parser.add_argument(
        "--custom", choices=FORMATS, help="also write it as one's own data, in this format"
    )


def run(args: argparse.Namespace) -> None:
    """Generate one set and print its folder."""
    from pcsc_d2.datasets.synthetic.generate import SIZES, generate, write_as_custom

    given = {split: getattr(args, split) for split in SPLITS}
    sizes = {split: SIZES[split] if count is None else count for split, count in given.items()}
    size, length = tuple(args.size), tuple(args.length)
    folder = generate(args.root, args.name, sizes, size, length, args.seed, scale=args.scale)
    print(write_as_custom(folder, args.custom) if args.custom else folder)
