"""Detect, correct, train, better numbers: the guide's loop on generated clips, all of it.

A model that saw two annotated clips detects in twelve more. What it found is written for CVAT, the
files are corrected, and training begins once more where it had begun, with the corrected clips too.
With ``-s`` the numbers are shown.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pcsc_d2.datasets.custom.write import write_own
from pcsc_d2.datasets.synthetic.actors import ActorSpec
from pcsc_d2.datasets.synthetic.clips import ClipSpec, render_clip
from pcsc_d2.datasets.synthetic.truth import ground_truth
from pcsc_d2.tubes import Detections, GroundTruth, frame_map
from pcsc_d2.video.writing import write_video
from tests.engine.correcting import Person

REPOSITORY = Path(__file__).parents[2]
LOOKS = (("red", "sway"), ("green", "sway"))
LABELS = tuple(f"{look}-{motion}" for look, motion in LOOKS)
SPLITS = {"few": 2, "archive": 12, "unseen": 16}
SIZE, FRAMES = (48, 64), 20
# Small frames, one network for both streams, no flow: a minute of one core for a training.
SETTINGS = {
    "MODEL.ROI_HEADS.NUM_CLASSES": 2,
    "MODEL.ANCHOR_GENERATOR.SIZES": "[[8],[16],[32],[48],[64]]",
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": "[[1.0, 2.0]]",
    "MODEL.FLOW.SOURCE": "rgb",
    "INPUT.FLOW.METHOD": "none",
    "INPUT.CLIP_LENGTH": 4,
    "INPUT.MIN_SIZE_TRAIN": "(48,)",
    "INPUT.MIN_SIZE_TEST": 48,
    "DATALOADER.NUM_WORKERS": 0,
    "SOLVER.MAX_ITER": 300,
    "SOLVER.STEPS": "(200, 260)",
    "VIS_PERIOD": 0,
}


@dataclass
class Loop:
    """The loop in an empty folder, with the project's commands.

    Attributes:
        folder: is empty.
        seed: of the clips and of both trainings.
    """

    folder: Path
    seed: int

    def __post_init__(self) -> None:
        self.truth = write_clips(self.folder, self.seed)

    def detect(self) -> None:
        """Look for what happens in the archive, and write it as a dataset."""
        words = ["--model", "first", "--out", "results", "--score", "0.1", "--quiet"]
        self._run("detect", "clips/archive", *words)
        words = ["--format", "cvat", "--videos", "clips/archive", "--out", "data/mine", "--quiet"]
        self._run("annotations", "results", *words)

    def correct(self) -> Person:
        """Correct every file; the person who did."""
        person = Person(self.truth)
        for path in sorted((self.folder / "data" / "mine" / "annotations").glob("*.xml")):
            person.correct(path, f"archive/{path.stem}")
        self._run("check", "--root", "data", "--dataset", "mine")
        return person

    def train(self, name: str, *datasets: str) -> Detections:
        """Train on datasets, always from the same start; what is detected in unseen clips."""
        options = [str(x) for pair in SETTINGS.items() for x in pair]
        options += ["SEED", str(self.seed), "OUTPUT_DIR", name]
        names = ["DATASETS.TRAIN", str(datasets), "DATASETS.TEST", "('clips_unseen',)"]
        self._run("train", "--config-file", "custom.yaml", *names, *options)
        return Detections.load(self.folder / name / "inference" / "clips_unseen" / "detections.npz")

    def score(self, found: Detections, without: str = "") -> float:
        """Frame mAP@0.5 in percent of the unseen clips, perhaps without one of them."""
        names = self.truth.videos.tolist()
        names = [name for name in names if name.startswith("unseen") and name != without]
        return frame_map(found.select(names), self.truth.select(names), 0.5).mean

    def gain(self, before: Detections, after: Detections) -> tuple[float, float]:
        """How much better it became, and the jackknife's standard error of that, by video."""
        names = [f"unseen/{i:02d}" for i in range(SPLITS["unseen"])]
        each = [self.score(after, name) - self.score(before, name) for name in names]
        error = float(np.std(each) * np.sqrt(len(names) - 1))
        return self.score(after) - self.score(before), error

    def _run(self, *words: str) -> None:
        paths = {"DETECTRON2_DATASETS": "data", "PYTHONPATH": str(REPOSITORY)}
        environment = os.environ | paths | {"OMP_NUM_THREADS": "1"}
        line = [sys.executable, "-m", "pcsc_d2", *words]
        done = subprocess.run(
            line, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def write_clips(folder: Path, seed: int) -> GroundTruth:
    """All clips, of one or two actors; those of the archive are not in the dataset."""
    plans = {
        f"{split}/{i:02d}": clip((seed, number, i))
        for number, (split, count) in enumerate(SPLITS.items())
        for i in range(count)
    }
    tubes, videos = {}, {}
    for name, plan in plans.items():
        frames, found = render_clip(plan)
        tubes[name] = sorted(found, key=lambda tube: tube.actor.label)
        videos[name] = folder / "clips" / f"{name}.mp4"
        videos[name].parent.mkdir(parents=True, exist_ok=True)
        write_video(videos[name], frames, 25, quality=10, preset="veryfast", threads=1)
    truth = ground_truth(LABELS, plans, tubes)
    known = {name: path for name, path in videos.items() if not name.startswith("archive")}
    splits = {"few": ["few/*"], "unseen": ["unseen/*"]}
    write_own(folder / "data" / "clips", truth.select(list(known)), known, "csv", splits)
    return truth


def clip(entropy: tuple[int, int, int]) -> ClipSpec:
    labels = np.random.default_rng(entropy).permutation(len(LOOKS))[: 1 + entropy[-1] % 2]
    actors = tuple(ActorSpec(int(label), *LOOKS[label], "plain") for label in labels)
    return ClipSpec(entropy, SIZE, FRAMES, actors)


def test_what_was_corrected_makes_better_numbers(tmp_path: Path) -> None:
    loop = Loop(tmp_path, seed=1)
    before = loop.train("first", "clips_few")
    loop.detect()
    person = loop.correct()
    after = loop.train("better", "clips_few", "mine_train")
    gain, error = loop.gain(before, after)
    print(f"moved {person.moved}, deleted {person.deleted}, drawn {person.drawn}")
    print(f"{loop.score(before):.1f} -> {loop.score(after):.1f}: {gain:+.1f} ± {error:.1f}")
    # What was detected was of use, though not right.
    assert person.moved > 0
    assert person.deleted + person.drawn > 0
    assert gain > max(2 * error, 10)


@pytest.mark.nightly
def test_uncorrected_detections_are_worth_less(tmp_path: Path) -> None:
    loop = Loop(tmp_path, seed=2)
    first = loop.train("first", "clips_few")
    loop.detect()
    uncorrected = loop.train("uncorrected", "clips_few", "mine_train")
    loop.correct()
    corrected = loop.train("corrected", "clips_few", "mine_train")
    gain, error = loop.gain(uncorrected, corrected)
    scores = [f"{loop.score(each):.1f}" for each in (first, uncorrected, corrected)]
    print(f"first, uncorrected, corrected: {', '.join(scores)}; {gain:+.1f} ± {error:.1f}")
    assert gain > 2 * error
