"""Jobs for ``kills.py``: what they are, what they work on, and how one runs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

# All that a job would import first.
import pcsc_d2.detect.job
import pcsc_d2.detect.page
import pcsc_d2.engine.actionness.train
import pcsc_d2.engine.train
import pcsc_d2.export.onnx
import pcsc_d2.models.exported  # noqa: F401
from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate

TINY = """
MODEL.DEVICE cpu MODEL.I3D.WIDTH 0.0625 MODEL.FPN.OUT_CHANNELS 16 MODEL.ROI_BOX_HEAD.FC_DIM 16
MODEL.RPN.POST_NMS_TOPK_TEST 10 MODEL.COOPERATION.NUM_STAGES 1 INPUT.CLIP_LENGTH 4
INPUT.MIN_SIZE_TRAIN (48,) INPUT.MIN_SIZE_TEST 48 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 6
SOLVER.STEPS (4,) SOLVER.CHECKPOINT_PERIOD 2 SOLVER.WARMUP_ITERS 0 SOLVER.ACTIONNESS.EPOCHS 4
VIS_PERIOD 0 TEST.TUBES.MIN_LENGTH 2
"""
_PATIENCE = 3600.0


@dataclass(frozen=True)
class Job:
    """A command whose results are to be the same however often it was ended.

    Attributes:
        name: of the job.
        line: its words; ``{out}`` stands for the folder that it writes to.
        resume: words that are added when it goes on.
        flow: whether the flow of earlier jobs is removed first.
        trained: whether it takes a model that is trained first.
    """

    name: str
    line: tuple[str, ...]
    resume: tuple[str, ...] = ()
    flow: bool = False
    trained: bool = False

    def words(self, out: Path, again: bool = False) -> list[str]:
        """The command line."""
        words = [word.replace("{out}", str(out)) for word in self.line]
        return [*words[:1], *(self.resume if again else ()), *words[1:]]


def make_jobs(base: Path) -> list[Job]:
    """The jobs, over the data that ``make_data`` makes and a trained model."""
    config = ("--config-file", "synthetic/quick.yaml")
    weights = ("MODEL.WEIGHTS", str(base / "trained" / "model_final.pth"))
    trained = ("--config-file", str(base / "trained" / "config.yaml"))
    videos = str(base / "root" / "synthetic" / "easy" / "videos")
    model = ("--model", str(base / "model.pt"))
    distributed = str(base / "distributed.zip")
    return [
        Job("prepare", ("prepare", "jhmdb", distributed, "--root", "{out}", "--processes", "1")),
        Job("flow", ("flow", "compute", *config), flow=True),
        Job("train", ("train", *config, "OUTPUT_DIR", "{out}", *TINY.split()), ("--resume",)),
        Job(
            "actionness",
            ("train-actionness", *trained, *weights, "OUTPUT_DIR", "{out}"),
            ("--resume",),
            trained=True,
        ),
        Job(
            "detect",
            ("detect", videos, "--every", "4", *model, "--quiet", "--out", "{out}"),
            ("--resume",),
            trained=True,
        ),
        Job("export", ("export", *trained, "--out", "{out}/model.pt", *weights), trained=True),
    ]


def make_data(base: Path) -> None:
    """Generated clips, and the same laid out as J-HMDB is distributed."""
    sizes = {"train": 4, "test": 2}
    generate(base / "root", "easy", sizes, size=(48, 64), length=(16, 16), progress=False)
    folder = base / "distributed"
    videos = sorted((base / "root").rglob("*.mp4"))
    for kind in ("JHMDB_video", "puppet_mask"):
        (folder / kind).mkdir(parents=True)
    (folder / "splits").mkdir()
    names = [f"v{i}" for i in range(len(videos))]
    for name, video in zip(names, videos):
        for kind, file in (("JHMDB_video", f"{name}.mp4"), ("puppet_mask", name)):
            (folder / kind / "run").mkdir(exist_ok=True)
            target = folder / kind / "run" / file
            if kind == "JHMDB_video":
                shutil.copy(video, target)
                continue
            target.mkdir()
            mask = np.zeros((48, 64, 16), np.uint8)
            mask[10:20, 5:30] = 1
            scipy.io.savemat(target / "puppet_mask.mat", {"part_mask": mask})
    lines = "".join(f"{name}.avi {1 + i % 2}\n" for i, name in enumerate(names))
    (folder / "splits" / "run_test_split1.txt").write_text(lines)
    with zipfile.ZipFile(base / "distributed.zip", "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(base))


def make_model(base: Path) -> None:
    """Train a tiny model in a few steps, and export it."""
    trained = base / "trained"
    config = ["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", str(trained)]
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth")]
    run = ["export", "--config-file", str(trained / "config.yaml"), "--out"]
    for words in ([*config, *TINY.split()], [*run, str(base / "model.pt"), *weights]):
        if Run(words, base / "log").wait() != 0:
            raise RuntimeError((base / "log").read_text()[-3000:])


class Run:
    """A command in a forked process and its group.

    Args:
        words: of the command.
        log: gets what it says.
    """

    def __init__(self, words: list[str], log: Path) -> None:
        self.started, self._log = time.monotonic(), log
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            # A shell's background jobs begin with it ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os._exit(_guarded(words))

    def end(self, number: signal.Signals) -> None:
        """Send a signal; Ctrl-C goes to the whole group, as a terminal sends it."""
        try:
            if number == signal.SIGINT:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def wait(self) -> int | None:
        """The exit status, negative for a signal; None if it hangs, and is killed."""
        while time.monotonic() - self.started < _PATIENCE:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None

    def lines(self) -> list[str]:
        """All that it said."""
        return self._log.read_text(errors="replace").strip().splitlines()

    def said(self) -> str:
        """The last line."""
        return (self.lines() or [""])[-1]

    def orphans(self) -> bool:
        """Whether processes of the group live on, minutes later on a machine that others use."""
        for _ in range(3000):
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.1)
        os.killpg(self.pid, signal.SIGKILL)
        return True


def _guarded(words: list[str]) -> int:
    try:
        status = main(words)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    return status or 0
