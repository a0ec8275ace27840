"""Make one file of a trained detector that runs with torch and torchvision alone.

    python -m pcsc_d2.export --config-file configs/jhmdb/pcsc.yaml --out model.pt \\
        MODEL.WEIGHTS output/jhmdb_pcsc/model_final.pth

The file holds the network with its preprocessing, and the names of the classes. It takes images of
any size and any number of clips. What it answers is compared with the model's own before it is
written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pcsc_d2.models.archive import ExportError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; bad input ends it with one line on standard error and status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m pcsc_d2.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("model.pt"), metavar="FILE")
    parser.add_argument("--note", default="", help="what the model is; shown to whoever uses it")
    parser.add_argument("--labels", metavar="A,B,C", help="class names, where no dataset says them")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="override the config")
    args = parser.parse_args(arguments)
    if find_spec("detectron2") is None:
        print("error: exporting needs Detectron2; the file that it makes does not", file=sys.stderr)
        return 1
    from pcsc_d2.export.checkpoint import export

    try:
        labels = args.labels.split(",") if args.labels else None
        print(export(args.config_file, args.opts, args.out, args.note, labels))
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
