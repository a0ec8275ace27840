"""Jobs ended at random moments, then finished: what is there afterwards, as a table.

python tests/benchmarks/kills.py [--moments 20] [--jobs train ...] [--faults SIGKILL ...]

Each job (preparing, flow, training, actionness, detecting, exporting; tiny models, generated clips)
runs once undisturbed. Then, as often as asked for, one of these comes at a random moment of that
time, and the job runs again (with --resume where the command has it):

- SIGKILL, SIGTERM and Ctrl-C (to the job's whole group, as from a terminal);
- a disk that has room for a random share of the results (full when it runs again: no longer);
- a disk that turns read-only, and loses what had not reached it (both as root, on Linux alone).

Looked at are

- the exit status and what is said: "interrupted", or one line that names a place on the disk;
- what the ended job left: every file under its final name is whole;
- what is left over at the end: hidden files, and processes of the ended job;
- the results, to the bit: tensors of checkpoints and exported files, tubes, boxes, flow, videos.

Jobs are forked from one process that has imported everything, so that moments fall into the work.
With --results FILE outcomes are kept, and those that are there are not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--jobs", nargs="+", default=[])
    parser.add_argument(
        "--faults",
        nargs="+",
        default=[],
        help="SIGKILL, SIGTERM, SIGINT, 'full disk', 'read-only disk' (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse()
    # Here, since each process that a job starts imports this file.
    import torch
    from fault_run import Outcomes, measure

    torch.set_num_threads(1)
    kept = Outcomes(options.results)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options, kept)
    print(kept.table())
