"""What a video of an archive costs, and whether killed, shared and pooled jobs make the same.

    python tests/benchmarks/archive.py [--videos 100 1000 10000] [--check 10000] [--machinery]
                                       [--ray 2]

The videos are generated clips of a second (25 frames of 48x64), a few of them under many names, all
in one folder. The model is the one that comes with the package, at four key frames a video. With
--machinery detecting and drawing are left out: a video's files are copied, so that all else can be
measured for numbers of videos that would take hours.

CPU seconds are of the job's process, less what it takes with one video (the least of three); the
peak of memory is the whole process's. Killing, shares and Ray are done with ``--check`` videos,
the first number if it is not given: a job is killed twice, and three shares do the rest.
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
from pcsc_d2.detect import ActionDetector, job
from pcsc_d2.detect.archive import plan
from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.results import CSV, JSON, SUMMARY, VIDEO, Summary
from pcsc_d2.detect.video_job import VideoJob

CLIPS, SIZE, FRAMES = 20, (48, 64), 25
OPTIONS = ["--every", "8", "--score", "0.05", "--device", "cpu", "--quiet"]
TABLES = ("tubes.csv", "tubes.parquet", "summary.json")


class CopiedJob(VideoJob):
    """Copies the files of another video of the same clip instead of looking through it."""

    examples: list[Path]

    def detect(self, count: Callable[[int], Any]) -> int:
        """Nothing."""
        return FRAMES

    def write(self, settings: dict[str, Any], count: Callable[[int], Any]) -> Summary:
        """The files of the example."""
        stamp = settings | {"video": self._stamp}
        example = self.examples[int(self.task.folder) % len(self.examples)]
        about = Summary.load(example / SUMMARY)
        summary = Summary(**(vars(about) | {"video": self.task.name, "stamp": stamp}))
        for name in (VIDEO, JSON, CSV):
            shutil.copyfile(example / name, self._work / name)
        summary.save(self._work / SUMMARY)
        shutil.rmtree(self._kept)
        self._held.release()
        self._put_in_place()
        return summary


class CopyingPlan(plan.Plan):
    """Of copied results in the processes of a pool, too."""

    def detector(self, profile: Profile | None = None) -> ActionDetector:
        """As it is; jobs of its process copy."""
        job.VideoJob = CopiedJob
        return super().detector(profile)


def make_archive(clips: list[Path], folder: Path, count: int) -> Path:
    """A folder of videos, all of them links to a few."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        with contextlib.suppress(FileExistsError):
            os.link(clips[i % len(clips)], folder / f"{i:05d}.mp4")
    return folder


def detect(archive: Path, out: Path, *words: str) -> int:
    """A job, without what it prints; its exit status."""
    where = [str(archive), "--model", str(SHIPPED_MODEL), "--out", str(out)]
    return silently(["detect", *where, *OPTIONS, *words])


def silently(words: list[str]) -> int:
    """A command, without what it prints; its exit status."""
    with contextlib.redirect_stdout(io.StringIO()):
        return pcsc(words)


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
    """Of the tables, the counts and the pages."""
    found = hashlib.sha256()
    for path in sorted(p for p in [*out.iterdir(), *out.glob("pages/*")] if p.is_file()):
        found.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def done(out: Path) -> int:
    """How many videos are done."""
    names = os.listdir(out) if out.exists() else []
    return sum(name.isdecimal() for name in names)


def killed_and_shared(archive: Path, out: Path, count: int) -> None:
    """A job that is killed after each third of the videos, then three shares that go on."""
    for third in (1, 2):
        process = started(lambda: detect(archive, out, "--resume"))
        while done(out) < third * count / 3:
            time.sleep(0.5)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        print(f"killed with {done(out)} of {count} done", flush=True)
    words = [("--share", f"{i}/3") for i in (1, 2, 3)]
    for process in [started(lambda w=w: detect(archive, out, "--resume", *w)) for w in words]:
        os.waitpid(process, 0)
    used = measured(lambda: silently(["detect", "--merge", str(out), "--quiet"]))
    print(f"merging the shares: {used[0]:.1f} CPU s, {used[2]:.0f} MiB", flush=True)


def kibibytes(*paths: Path) -> float:
    """What files take together."""
    return sum(path.stat().st_size for path in paths if path.exists()) / 2**10


def table(clips: list[Path], work: Path, counts: list[int]) -> None:
    """Print what a video costs, for each number of videos."""
    one = make_archive(clips, work / "one", 1)
    base = min(measured(lambda: detect(one, work / "out-one")) for _ in range(3))
    print(f"one video: {base[0]:.1f} CPU s, {base[2]:.0f} MiB", flush=True)
    print(
        "| videos | CPU ms apiece | ms apiece | again with --resume, CPU ms | peak MiB "
        "| index.html, KiB | pages, KiB apiece | tables, KiB apiece |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for count in counts:
        archive, out = make_archive(clips, work / f"{count}", count), work / f"out-{count}"
        first = measured(lambda a=archive, o=out: detect(a, o))
        again = measured(lambda a=archive, o=out: detect(a, o, "--resume"))
        apiece = [(first[0] - base[0]), (first[1] - base[1]), (again[0] - base[0])]
        cpu, wall, resumed = (seconds / count * 1000 for seconds in apiece)
        index, pages = kibibytes(out / "index.html"), kibibytes(*out.glob("pages/*"))
        tables = kibibytes(*(out / name for name in TABLES))
        print(
            f"| {count:,} | {cpu:.1f} | {wall:.1f} | {resumed:.2f} | {first[2]:.0f} | {index:.0f} "
            f"| {pages / count:.2f} | {tables / count:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--check", type=int, help="how many are killed, shared and pooled")
    parser.add_argument("--machinery", action="store_true", help="copy instead of detecting")
    parser.add_argument("--ray", type=int, default=0, metavar="WORKERS", help="a Ray pool, too")
    parser.add_argument("--work", type=Path, help="a folder that is kept, with what is copied")
    args = parser.parse_args()
    count = args.check or args.videos[0]
    if count not in args.videos:
        parser.error(f"--check {count} is none of --videos")
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        folder = generate(
            work, "easy", {"train": 0, "val": 0, "test": CLIPS}, SIZE, (FRAMES, FRAMES), 0
        )
        clips = sorted(folder.rglob("*.mp4"))
        if args.machinery:
            examples = make_archive(clips, work / "examples", len(clips))
            measured(lambda: detect(examples, work / "out-examples", "--resume"))
            found = (work / "out-examples").glob(f"*/{SUMMARY}")
            CopiedJob.examples = sorted(path.parent for path in found)
            job.VideoJob, plan.Plan = CopiedJob, CopyingPlan
        table(clips, work, args.videos)
        archive, whole = work / f"{count}", digest(work / f"out-{count}")
        killed_and_shared(archive, work / "killed", count)
        made = {"killed twice, then three shares": work / "killed"}
        if args.ray:
            made[f"{args.ray} Ray workers"] = work / "ray"
            words = ["--ray", "--workers", str(args.ray)]
            used = measured(lambda: detect(archive, work / "ray", *words))
            print(f"{args.ray} Ray workers: {used[1]:.0f} s", flush=True)
        for name, out in made.items():
            print(f"{name}: {'the same tables and pages' if digest(out) == whole else 'OTHERS'}")
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
