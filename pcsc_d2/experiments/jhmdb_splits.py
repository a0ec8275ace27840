"""Train and evaluate a config on all three splits of J-HMDB, and average, as papers report.

    python -m pcsc_d2.experiments.jhmdb_splits --config-file configs/jhmdb/pcsc.yaml --num-gpus 2
    python -m pcsc_d2.experiments.jhmdb_splits --config-file configs/jhmdb/pcsc.yaml --resume
    python -m pcsc_d2.experiments.jhmdb_splits --config-file configs/jhmdb/pcsc.yaml --eval-only

Each split is a run of train_net.py with its own folder, OUT/split<k>; the mean goes to
OUT/results.json. --resume skips splits that are done and goes on exactly with the one that was
interrupted. Other options, and KEY VALUE pairs at the end of the line, go to train_net.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pcsc_d2.tubes.scoring.averaging import average_results

SCRIPT = Path(__file__).parents[2] / "train_net.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 where all splits were trained and averaged, else that of the failed run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, type=Path)
    parser.add_argument("--splits", nargs="+", type=int, choices=(1, 2, 3), default=(1, 2, 3))
    parser.add_argument("--out", type=Path, help="output/<config>_splits where it is not given")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--eval-only", action="store_true", help="of OUT/split<k>/model_final.pth")
    args, others = parser.parse_known_args(arguments)
    out = args.out or Path("output", f"jhmdb_{args.config_file.stem}_splits")
    results = []
    for split in args.splits:
        folder = out / f"split{split}"
        results.append(folder / "inference" / f"jhmdb_split{split}_test" / "results.json")
        if args.resume and _is_done(folder, results[-1]):
            print(f"split {split}: done before, {results[-1]}")
            continue
        print(f"split {split}: {folder}", flush=True)
        status = subprocess.run(_command(args, split, folder, others)).returncode
        if status:
            print(f"split {split}: train_net.py ended with status {status}; go on with --resume",
                  file=sys.stderr)  # fmt: skip
            return status
    return _average(results, out)


def _is_done(folder: Path, results: Path) -> bool:
    """Whether a split was evaluated at its end: TEST.EVAL_PERIOD evaluates on the way, too."""
    model = folder / "model_final.pth"
    there = model.is_file() and results.is_file()
    return there and results.stat().st_mtime >= model.stat().st_mtime


def _command(
    args: argparse.Namespace, split: int, folder: Path, others: Sequence[str]
) -> list[str]:
    command = [sys.executable, str(SCRIPT), "--config-file", str(args.config_file)]
    command += ["--resume"] * args.resume + ["--eval-only"] * args.eval_only
    command += others
    command += ["DATASETS.TRAIN", f"('jhmdb_split{split}_train',)"]
    command += ["DATASETS.TEST", f"('jhmdb_split{split}_test',)", "OUTPUT_DIR", str(folder)]
    if args.eval_only and "MODEL.WEIGHTS" not in others:
        command += ["MODEL.WEIGHTS", str(folder / "model_final.pth")]
    return command


def _average(results: Sequence[Path], out: Path) -> int:
    if len(results) < 2:
        return 0
    try:
        average = average_results(results)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    average.save(out / "results.json")
    print(f"{average.table()}\n{out / 'results.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
