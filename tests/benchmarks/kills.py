"""Jobs ended at random moments, then finished: what is there afterwards, as a table.

python tests/benchmarks/kills.py [--moments 20] [--jobs train detect ...] [--signals KILL TERM INT]

Each job (preparing, flow, training, actionness, detecting, exporting; tiny models, generated clips)
runs once undisturbed. Then, as often as asked for and for each signal, it is ended at a random
moment of that time and run again (with --resume where the command has it). Looked at are

- what the killed job left: every file under its final name is whole;
- the exit status and the last line after SIGTERM and Ctrl-C (130, "interrupted");
- what is left over at the end: hidden files, and processes of the killed job;
- the results, to the bit: tensors of checkpoints and exported files, tubes, boxes, flow, videos.

Jobs are forked from one process that has imported everything, so that moments fall into the work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch

# All that a job would import first.
import pcsc_d2.detect.job
import pcsc_d2.detect.page
import pcsc_d2.engine.actionness.train
import pcsc_d2.engine.train
import pcsc_d2.export.onnx
import pcsc_d2.models.exported  # noqa: F401
from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.weights import load_tensors
from pcsc_d2.video import VideoSource

TINY = """
MODEL.DEVICE cpu MODEL.I3D.WIDTH 0.0625 MODEL.FPN.OUT_CHANNELS 16 MODEL.ROI_BOX_HEAD.FC_DIM 16
MODEL.RPN.POST_NMS_TOPK_TEST 10 MODEL.COOPERATION.NUM_STAGES 1 INPUT.CLIP_LENGTH 4
INPUT.MIN_SIZE_TRAIN (48,) INPUT.MIN_SIZE_TEST 48 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 6
SOLVER.STEPS (4,) SOLVER.CHECKPOINT_PERIOD 2 SOLVER.WARMUP_ITERS 0 SOLVER.ACTIONNESS.EPOCHS 4
VIS_PERIOD 0 TEST.TUBES.MIN_LENGTH 2
"""
# Lines are added to these while a job runs; the last may be unfinished.
_GROWING = ("log.txt", "metrics.json", "events.out")
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
            ("detect", videos, "--model", str(base / "model.pt"), "--quiet", "--out", "{out}"),
            ("--resume",),
            trained=True,
        ),
        Job("export", ("export", *trained, "--out", "{out}/model.pt", *weights), trained=True),
    ]


def make_data(base: Path) -> None:
    """Generated clips, the same laid out as J-HMDB is distributed, and a model of a few steps."""
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

    def said(self) -> str:
        """The last line."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

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


def unfinished(folder: Path) -> Iterator[str]:
    """Files that have their final name and are not whole."""
    for path in files_of(folder):
        if path.name.startswith(_GROWING):
            continue
        try:
            _read(path)
        except Exception as error:
            yield f"{path.name}: {str(error)[:80]}"


def files_of(folder: Path) -> list[Path]:
    """All files that are not hidden, and in no hidden folder."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return [p for p in found if not any(part[0] == "." for part in p.relative_to(folder).parts)]


def hidden_in(folder: Path) -> list[str]:
    """What is hidden in a folder, less what is meant to be."""
    found = [p.name for p in folder.rglob(".*")]
    return [name for name in found if name not in (".complete",)]


def results(folder: Path) -> dict[str, str]:
    """A digest of each file of results, by its name."""
    skipped = (*_GROWING, "config.yaml", "index.html", "summary.json", "page.html")
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in files_of(folder)
        if not path.name.startswith(skipped)
    }


def _content(path: Path) -> bytes:
    """What a file says, without times and names of places."""
    return repr(_plain(_read(path))).encode()


def _read(path: Path) -> Any:
    if path.suffix == ".pth":
        return load_tensors(path)
    if path.suffix == ".pt":
        network = torch.jit.load(str(path))
        return dict(network.state_dict()), str(network.inlined_graph)
    if path.suffix in (".zip", ".npz"):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".pkl":
        truth = GroundTruth.load(path)
        return truth.videos, truth.tubes.boxes, truth.train, truth.test
    if path.suffix == ".mp4":
        return [frame.tobytes() for frame in VideoSource(path)]
    return path.read_bytes()


def _plain(content: Any) -> Any:
    if isinstance(content, torch.Tensor):
        return hashlib.sha256(content.numpy().tobytes()).hexdigest()
    if isinstance(content, np.ndarray):
        return hashlib.sha256(content.tobytes()).hexdigest()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items() if key != "stamp"}
    if isinstance(content, (list, tuple)):
        return [_plain(each) for each in content]
    return content


@dataclass
class Place:
    """Where a job works: its output, and the dataset root with the flow that it makes."""

    out: Path
    root: Path

    @classmethod
    def make(cls, base: Path, job: Job, name: str) -> Place:
        """A fresh one."""
        out, root = base / "runs" / name, base / "root"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        if job.flow:
            shutil.rmtree(root / "flow", ignore_errors=True)
            out = root / "flow"
        return cls(out, root)


def run_once(base: Path, job: Job) -> tuple[dict[str, str], float]:
    """The results of a job that nobody ends, and its seconds."""
    place = Place.make(base, job, job.name)
    run = Run(job.words(place.out), base / "log")
    status = run.wait()
    if status != 0:
        raise RuntimeError(f"{job.name} ended with {status}: {(base / 'log').read_text()[-3000:]}")
    return results(place.out), time.monotonic() - run.started


def run_ended(
    base: Path, job: Job, number: signal.Signals, moment: float, expected: dict[str, str]
) -> str:
    """What is wrong after a job was ended at a moment and run again; "fine" or "too late"."""
    place = Place.make(base, job, "ended")
    first = Run(job.words(place.out), base / "log")
    time.sleep(moment)
    first.end(number)
    status, said = first.wait(), first.said()
    if status == 0:
        return "too late"
    if number != signal.SIGKILL and (status, said.split(":")[0]) != (130, "interrupted"):
        return f"status {status}: {said[:90]}"
    if first.orphans():
        return "processes live on"
    for broken in unfinished(place.out):
        return f"half-written {broken}"
    time.sleep(2.1)  # what is younger is taken for somebody's work
    second = Run(job.words(place.out, again=True), base / "log")
    status = second.wait()
    if status != 0:
        return f"resumed: status {status}: {second.said()[:90]}"
    if left := hidden_in(place.out):
        return f"left over: {left[0]}"
    return "fine" if results(place.out) == expected else _difference(results(place.out), expected)


def _difference(found: dict[str, str], expected: dict[str, str]) -> str:
    other = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    return f"differs: {', '.join(other[:3])}"


def table(found: dict[tuple[str, str], Counter[str]]) -> str:
    """Markdown: a row for each job, a column for each signal."""
    signals = list(dict.fromkeys(name for _, name in found))
    lines = [f"| job | {' | '.join(signals)} |", "|---|" + "---|" * len(signals)]
    for job in dict.fromkeys(job for job, _ in found):
        cells = []
        for name in signals:
            counts = found.get((job, name), Counter())
            ended = sum(n for what, n in counts.items() if what != "too late")
            bad = [f"{n} {what}" for what, n in counts.items() if what not in ("fine", "too late")]
            cells.append(f"{counts['fine']} of {ended} fine{''.join('; ' + b for b in bad)}")
        lines.append(f"| {job} | {' | '.join(cells)} |")
    return "\n".join(lines)


def make_model(base: Path) -> None:
    """Train a tiny model in a few steps, and export it."""
    trained = base / "trained"
    config = ["train", "--config-file", "synthetic/quick.yaml", "OUTPUT_DIR", str(trained)]
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth")]
    run = ["export", "--config-file", str(trained / "config.yaml"), "--out"]
    for words in ([*config, *TINY.split()], [*run, str(base / "model.pt"), *weights]):
        if Run(words, base / "log").wait() != 0:
            raise RuntimeError((base / "log").read_text()[-3000:])


def measure(base: Path, args: argparse.Namespace) -> dict[tuple[str, str], Counter[str]]:
    """The outcomes by job and signal."""
    os.environ["DETECTRON2_DATASETS"] = str(base / "root")
    make_data(base)
    rng, found = random.Random(args.seed), {}
    jobs = [job for job in make_jobs(base) if not args.jobs or job.name in args.jobs]
    if any(job.trained for job in jobs):
        make_model(base)
    for job in jobs:
        expected, seconds = run_once(base, job)
        print(f"{job.name}: {seconds:.1f} s undisturbed, {len(expected)} files", flush=True)
        for name in args.signals:
            counts = found.setdefault((job.name, f"SIG{name}"), Counter())
            for _ in range(args.moments):
                number = signal.Signals[f"SIG{name}"]
                what = run_ended(base, job, number, rng.uniform(0, seconds), expected)
                counts[what] += 1
                if what not in ("fine", "too late"):
                    print(f"{job.name} {name}: {what}", flush=True)
    return found


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--jobs", nargs="+", default=[])
    parser.add_argument("--signals", nargs="+", default=["KILL", "TERM", "INT"])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(Path(folder), parse())))
