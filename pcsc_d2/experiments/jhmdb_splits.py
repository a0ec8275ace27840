"""A config trained and evaluated on all three splits of J-HMDB, and averaged, as papers report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pcsc_d2.tubes.scoring.averaging import average_results
from pcsc_d2.utils.programs import run_module
from pcsc_d2.utils.weights import is_whole


@dataclass(frozen=True)
class Splits:
    """Each split is a run of ``pcsc train`` with its own folder; the mean is of their results.

    Attributes:
        config_file: of all splits.
        out: gets ``split<k>/`` and ``results.json``.
        resume: skip splits that are done, and go on exactly with the one that was interrupted.
        eval_only: of ``split<k>/model_final.pth``.
        others: options and KEY VALUE pairs for ``pcsc train``.
    """

    config_file: Path
    out: Path
    resume: bool = False
    eval_only: bool = False
    others: Sequence[str] = ()

    def run(self, splits: Iterable[int]) -> int:
        """Train and average; 0, or the exit status of the run that failed."""
        results = []
        for split in splits:
            folder = self.out / f"split{split}"
            results.append(folder / "inference" / f"jhmdb_split{split}_test" / "results.json")
            if self.resume and _is_done(folder, results[-1]):
                print(f"split {split}: done before, {results[-1]}")
                continue
            print(f"split {split}: {folder}", flush=True)
            status = run_module(self._words(split, folder))
            if status:
                print(f"split {split}: pcsc train ended with status {status}; go on with --resume",
                      file=sys.stderr)  # fmt: skip
                return status
        self._average(results)
        return 0

    def _words(self, split: int, folder: Path) -> list[str]:
        words = ["pcsc_d2", "train", "--config-file", str(self.config_file)]
        words += ["--resume"] * self.resume + ["--eval-only"] * self.eval_only
        words += self.others
        words += ["DATASETS.TRAIN", f"('jhmdb_split{split}_train',)"]
        words += ["DATASETS.TEST", f"('jhmdb_split{split}_test',)", "OUTPUT_DIR", str(folder)]
        if self.eval_only and "MODEL.WEIGHTS" not in self.others:
            words += ["MODEL.WEIGHTS", str(folder / "model_final.pth")]
        return words

    def _average(self, results: Sequence[Path]) -> None:
        if len(results) > 1:
            average = average_results(results)
            average.save(self.out / "results.json")
            print(f"{average.table()}\n{self.out / 'results.json'}")


def _is_done(folder: Path, results: Path) -> bool:
    """Whether a split was evaluated at its end: TEST.EVAL_PERIOD evaluates on the way, too."""
    model = folder / "model_final.pth"
    there = is_whole(model) and results.is_file()
    return there and results.stat().st_mtime >= model.stat().st_mtime
