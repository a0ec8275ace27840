"""What a video of an archive costs, and whether killed, shared and pooled jobs make the same.

    python tests/benchmarks/archive.py [--videos 100 1000 10000] [--machinery] [--ray 2]

The videos are generated clips of a second (25 frames of 48x64), a few of them under many names.
The model is the one that comes with the package, at two key frames a video. With --machinery
detecting and drawing are left out: a video's files are copied, so that all else can be measured for
numbers of videos that would take hours.

CPU seconds are of the job's process, less what it takes with one video; the peak of memory is the
whole process's. Killing, shares and Ray are done with the first number of videos.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.cli import main as pcsc
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.detect import job
from pcsc_d2.detect.results import CSV, JSON, SUMMARY, VIDEO, Summary
from pcsc_d2.detect.video_job import VideoJob

CLIPS, SIZE, FRAMES = 20, (48, 64), 25
OPTIONS = ["--every", "24", "--score", "0.05", "--device", "cpu", "--quiet"]
TABLES = ("tubes.csv", "tubes.parquet", "summary.json")


class CopiedJob(VideoJob):
    """Copies a video's files instead of looking through it."""

    example: Path

    def detect(self, count: Callable[[int], Any]) -> int:
        """Nothing."""
        return FRAMES

    def write(self, settings: dict[str, Any], count: Callable[[int], Any]) -> Summary:
        """The files of the example."""
        stamp = settings | {"video": self._stamp}
        about = Summary.load(self.example / SUMMARY)
        summary = Summary(**(vars(about) | {"video": self.task.name, "stamp": stamp}))
        for name in (VIDEO, JSON, CSV):
            shutil.copyfile(self.example / name, self._work / name)
        summary.save(self._work / SUMMARY)
        shutil.rmtree(self._kept)
        self._held.release()
        self._put_in_place()
        return summary


def make_archive(clips: list[Path], folder: Path, count: int) -> Path:
    """A tree of videos, a hundred to a folder, all of them links to a few."""
    for i in range(count):
        path = folder / f"{i // 100:03d}" / f"{i % 100:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(clips[i % len(clips)], path)
    return folder


def detect(archive: Path, out: Path, *words: str) -> int:
    """A job, without what it prints; its exit status."""
    with contextlib.redirect_stdout(io.StringIO()):
        where = [str(archive), "--model", str(SHIPPED_MODEL), "--out", str(out)]
        return pcsc(["detect", *where, *OPTIONS, *words])


def started(work: Callable[[], Any]) -> int:
    """Work in a process of its own, whose number is given."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    return process


def measured(work: Callable[[], Any]) -> tuple[float, float, float]:
    """CPU seconds, seconds and peak MiB of work in a process of its own."""
    begun = time.monotonic()
    _, status, used = os.wait4(started(work), 0)
    if status:
        raise SystemExit("the job failed")
    return used.ru_utime + used.ru_stime, time.monotonic() - begun, used.ru_maxrss / 1024


def digest(out: Path) -> str:
    """Of the tables and the counts."""
    found = hashlib.sha256()
    for name in TABLES:
        if (out / name).exists():
            found.update((out / name).read_bytes())
    return found.hexdigest()[:16]


def done(out: Path) -> int:
    """How many videos are done."""
    return sum(1 for _ in out.glob(f"*/*/{SUMMARY}"))


def killed_twice(archive: Path, out: Path, count: int) -> None:
    """A job that is killed after each third of the videos, and goes on."""
    for third in (1, 2):
        process = started(lambda: detect(archive, out, "--resume"))
        while done(out) < third * count / 3:
            time.sleep(0.05)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        print(f"killed with {done(out)} of {count} done", flush=True)
    measured(lambda: detect(archive, out, "--resume"))


def shared(archive: Path, out: Path) -> None:
    """Three processes at a time, then their page and table."""
    words = [("--share", f"{i}/3") for i in (1, 2, 3)]
    for process in [started(lambda w=w: detect(archive, out, *w)) for w in words]:
        os.waitpid(process, 0)
    with contextlib.redirect_stdout(io.StringIO()):
        pcsc(["detect", "--merge", str(out), "--quiet"])


def mebibytes(*paths: Path) -> float:
    """What files take together."""
    return sum(path.stat().st_size for path in paths) / 2**20


def table(clips: list[Path], work: Path, counts: list[int]) -> None:
    """Print what a video costs, for each number of videos."""
    base = measured(lambda: detect(make_archive(clips, work / "one", 1), work / "out-one"))
    print(f"one video: {base[0]:.1f} CPU s, {base[2]:.0f} MiB", flush=True)
    print("| videos | CPU ms apiece | again with --resume | peak MiB | index and tables, MiB |")
    print("|---|---|---|---|---|")
    for count in counts:
        archive, out = make_archive(clips, work / f"{count}", count), work / f"out-{count}"
        first = measured(lambda a=archive, o=out: detect(a, o))
        again = measured(lambda a=archive, o=out: detect(a, o, "--resume"))
        apiece, again_apiece = ((each[0] - base[0]) / count * 1000 for each in (first, again))
        size = mebibytes(*(out / name for name in (*TABLES, "index.html") if (out / name).exists()))
        print(
            f"| {count:,} | {apiece:.1f} | {again_apiece:.2f} | {first[2]:.0f} | {size:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--machinery", action="store_true", help="copy instead of detecting")
    parser.add_argument("--ray", type=int, default=0, metavar="WORKERS", help="a Ray pool, too")
    parser.add_argument("--work", type=Path, help="a folder that is kept (default: none)")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        folder = generate(
            work, "easy", {"train": 0, "val": 0, "test": CLIPS}, SIZE, (FRAMES, FRAMES), 0
        )
        clips = sorted(folder.rglob("*.mp4"))
        if args.machinery:
            measured(lambda: detect(clips[0], work / "example"))
            CopiedJob.example = next((work / "example").glob(f"*/{SUMMARY}")).parent
            job.VideoJob = CopiedJob
        table(clips, work, args.videos)
        count = args.videos[0]
        archive, whole = work / f"{count}", digest(work / f"out-{count}")
        killed_twice(archive, work / "killed", count)
        shared(archive, work / "shared")
        made = {"killed twice": work / "killed", "three shares": work / "shared"}
        if args.ray:
            made[f"{args.ray} Ray workers"] = work / "ray"
            measured(lambda: detect(archive, work / "ray", "--ray", "--workers", str(args.ray)))
        for name, out in made.items():
            print(f"{name}: {'the same tables' if digest(out) == whole else 'OTHER TABLES'}")
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
