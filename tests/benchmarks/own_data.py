"""What ten clips a class of one's own are worth, and what they take: four classes of J-HMDB.

    python tests/benchmarks/own_data.py --root DATASETS --out OUT [--make]

DATASETS holds J-HMDB. Its clips of four classes are written to OUT/data as one's own: of the
training clips of split 1 the first ten of each class by name, and as a test all others that are of
other films. Then come the guide's commands for a CPU (docs/pages/custom-datasets.md), with their
CPU seconds, and a score on five key frames of each test clip. --make writes the data alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pcsc_d2.datasets.custom.write import write_own
from pcsc_d2.datasets.holdout import source_of
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.video.files import locate_videos

# The first by name: nobody chose them.
CLASSES = ("brush_hair", "catch", "clap", "climb_stairs")
NAME, CLIPS = "four", 10
CONFIG = ("--config-file", "custom_frozen.yaml")


def splits(train: list[str]) -> dict[str, list[str]]:
    """The videos that are trained on, and those of other films."""
    found: dict[str, list[str]] = {"train": [], "test": []}
    for label in CLASSES:
        of_class = sorted(name for name in train if name.startswith(f"{label}/"))
        seen = {source_of(name) for name in of_class[:CLIPS]}
        found["train"] += of_class[:CLIPS]
        found["test"] += [name for name in of_class if source_of(name) not in seen]
    return found


def write(root: Path, out: Path) -> dict[str, list[str]]:
    """Write the dataset; its splits."""
    files = dataset_files("jhmdb")
    truth = files.ground_truth(root, AnnotationIssues())
    found = splits(truth.train[0])
    chosen = truth.select([*found["train"], *found["test"]])
    # They are the first ones of J-HMDB too, so numbers of classes stay.
    chosen = replace(chosen, labels=CLASSES, tubes=replace(chosen.tubes, labels=CLASSES))
    videos = locate_videos(files.videos(root), chosen.videos.tolist())
    write_own(out / "data" / NAME, chosen, videos, "csv", found)
    return found


def run(out: Path, *words: str) -> float:
    """A command of the project; its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"DETECTRON2_DATASETS": "data", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "pcsc_d2", *words], cwd=out, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--make", action="store_true")
    args = parser.parse_args()
    found = write(args.root, args.out)
    print({name: len(videos) for name, videos in found.items()}, flush=True)
    if args.make:
        return
    classes = ("MODEL.ROI_HEADS.NUM_CLASSES", str(len(CLASSES)))
    train = (*CONFIG, *classes, "DATASETS.TRAIN", f"('{NAME}_train',)", "DATASETS.TEST", "()")
    test = (*CONFIG, *classes, "DATASETS.TEST", f"('{NAME}_test',)", "TEST.KEY_FRAMES", "5")
    seconds = {"features": run(args.out, "features", *train)}
    seconds["train"] = run(args.out, "train", *train)
    weights = ("MODEL.WEIGHTS", "output/custom/model_final.pth", "OUTPUT_DIR", "output/evaluated")
    seconds["evaluate"] = run(args.out, "train", "--eval-only", *test, *weights)
    print({name: f"{value:.0f} CPU s" for name, value in seconds.items()})


if __name__ == "__main__":
    main()
