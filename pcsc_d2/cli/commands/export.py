"""Make one file of a trained detector that runs without Detectron2.

The file holds the network with its preprocessing, and the names of the classes. It takes images of
any size and any number of clips. What it answers is compared with the model's own before it is
written. An ONNX file is for ONNX Runtime, OpenVINO and TensorRT; a .pt file for torch with
torchvision, in dense mode too.

    pcsc export --config-file jhmdb/pcsc.yaml --out model.pt \\
        MODEL.WEIGHTS output/jhmdb_pcsc/model_final.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pcsc_d2.cli.arguments import add_config_or_model, config_and_options, named_path

if TYPE_CHECKING:
    from pcsc_d2.export.onnx import OnnxShape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pcsc export``."""
    add_config_or_model(parser)
    parser.add_argument("--out", type=named_path, default=Path("model.pt"), metavar="FILE")
    parser.add_argument("--note", default="", help="what the model is; shown to whoever uses it")
    parser.add_argument("--labels", metavar="A,B,C", help="class names, where no dataset says them")
    parser.add_argument(
        "--format", choices=("pt", "onnx"), help="default: onnx where --out ends in .onnx, else pt"
    )
    group = parser.add_argument_group("what a .pt file holds of the weights")
    group.add_argument(
        "--trunks",
        choices=("whole", "kinetics"),
        default="whole",
        help="kinetics: what the trunks have from the Kinetics weights is left out, and filled in "
        "from the user's cache when the file is loaded (default: %(default)s)",
    )
    group.add_argument(
        "--store",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="the other weights in fewer bits; measure what that loses (default: %(default)s)",
    )
    group = parser.add_argument_group("fixed in an ONNX file, for runtimes that ask for it")
    group.add_argument("--size", metavar="HxW", type=size_of, help="of the clips (default: free)")
    group.add_argument(
        "--one-clip", action="store_true", help="one clip at a time, so that it has no loop"
    )


def size_of(text: str) -> tuple[int, int]:
    """``240x320`` as height and width; ValueError where it is none."""
    height, width = (int(side) for side in text.split("x"))
    if min(height, width) < 1:
        raise ValueError(text)
    return height, width


def run(args: argparse.Namespace) -> None:
    """Export, and say what was written."""
    from pcsc_d2.export.checkpoint import export

    labels = args.labels.split(",") if args.labels else None
    config, options = config_and_options(args)
    held = {"from_kinetics": args.trunks == "kinetics", "stored": args.store}
    print(export(config, options, args.out, args.note, labels, _onnx_shape(args), **held))


def _onnx_shape(args: argparse.Namespace) -> OnnxShape | None:
    if (args.format or args.out.suffix.removeprefix(".")) != "onnx":
        if args.size or args.one_clip:
            raise ValueError("--size and --one-clip are for ONNX files; give --format onnx")
        return None
    if args.trunks != "whole" or args.store != "float32":
        raise ValueError("--trunks and --store are for .pt files")
    from pcsc_d2.export.onnx import OnnxShape

    return OnnxShape(args.size, args.one_clip)
