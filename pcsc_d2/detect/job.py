"""Many videos: each detected, drawn and put in place as a whole; bad ones are reported.

While a video is detected, the one before it is drawn and written in another thread.
"""

from __future__ import annotations

import errno
import itertools
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pcsc_d2.detect.detector import ActionDetector
from pcsc_d2.detect.inputs import PAGE, Task
from pcsc_d2.detect.page import write_page
from pcsc_d2.detect.results import SUMMARY, Summary
from pcsc_d2.detect.video_job import WORK_PREFIX, CancelledError, VideoJob
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.utils.leftovers import remove_abandoned
from pcsc_d2.video import VideoError

# The page is written anew after so many seconds, and so many times the seconds that it takes.
_PAGE_SECONDS, _PAGE_SHARE = 5.0, 20
# Videos that the report has a line for.
_LINES = 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class OutputError(OSError):
    """The output folder takes nothing (more); the job cannot go on."""


@dataclass
class Report:
    """How a job went.

    Attributes:
        done: folders of the videos that were done now, in order.
        resumed: those that were done before.
        problems: a line for each video that could not be done, or only in part.
        tubes: of each video by its name, how many tubes of each class were found.
    """

    done: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tubes: dict[str, Counter[str]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """What was found where, a video a line up to a number; then counts and problems."""
        for name, classes in itertools.islice(self.tubes.items(), _LINES):
            found = ", ".join(f"{label} {count}" for label, count in classes.most_common())
            yield f"{name}: {_count(classes.total(), 'tube')}{f' ({found})' if found else ''}"
        rest = [classes.total() for classes in itertools.islice(self.tubes.values(), _LINES, None)]
        if rest:
            yield f"{_count(len(rest), 'more video')}: {_count(sum(rest), 'tube')}"
        counts = f"{len(self.done)} done"
        if self.resumed:
            counts += f", {len(self.resumed)} were done before"
        if self.problems:
            counts += f", {len(self.problems)} with problems:"
        yield counts
        yield from (f"  {problem}" for problem in self.problems)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def prepare_output(out: Path) -> None:
    """Make the output folder, without what a killed job left unfinished there.

    Raises:
        OutputError: why nothing can be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        remove_abandoned([*out.glob(f"{WORK_PREFIX}*"), *out.glob(f".{PAGE}.*")])
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{out}: cannot be written to ({reason}); give another --out") from None


class Job:
    """Look through videos and write what is found; an interrupted job leaves whole results only.

    Args:
        detector: finds.
        out: gets a folder for each video, and the page.
        settings: what results depend on besides the video; compared when resuming.
        resume: videos whose results are there, from the same file and settings, are left out.
        progress: draws progress bars.
    """

    def __init__(
        self,
        detector: ActionDetector,
        out: Path,
        settings: dict[str, Any],
        resume: bool = False,
        progress: bool = True,
    ) -> None:
        self._detector, self._out, self._settings = detector, out, settings
        self._resume = resume
        self._cancelled = threading.Event()
        self._seeing = tqdm(desc="detecting", unit="frame", position=0, disable=not progress)
        self._drawing = tqdm(desc="drawing  ", unit="frame", position=1, disable=not progress)
        self._page_due = 0.0
        self.report = Report()

    def run(self, tasks: Sequence[Task]) -> Report:
        """Do all tasks, once.

        Raises:
            OutputError: the disk is full; what was finished stays.
            KeyboardInterrupt: the same.
        """
        todo = [task for task in tasks if not self._is_done(task)]
        expected = [_expected_frames(task) for task in todo]
        self._seeing.total = sum(expected) or None
        with closing(self._seeing), closing(self._drawing), ThreadPoolExecutor(1) as writer:
            try:
                pending: Future[None] | None = None
                for task, frames in zip(todo, expected):
                    video = self._detect(task, frames)
                    if pending is not None:
                        pending.result()
                    pending = None if video is None else writer.submit(self._write, video)
                if pending is not None:
                    pending.result()
            except OutputError:
                raise  # after the video before, which may still fit
            except BaseException:
                self._cancelled.set()
                raise
        return self.report

    def write_page(self) -> None:
        """Write the page of all videos in the output folder, those of earlier jobs too.

        Raises:
            OutputError: it cannot be written.
        """
        files = sorted(self._out.glob(f"*/{SUMMARY}"))
        videos = {path.parent.name: Summary.load(path) for path in files}
        known = {folder: video for folder, video in videos.items() if video is not None}
        try:
            write_page(self._out / PAGE, known, self.report.problems)
        except OSError as error:
            raise OutputError(f"{self._out / PAGE}: cannot be written: {error.strerror}") from error

    def _refresh_page(self) -> None:
        """Write the page where that takes little of the time since it was last written.

        It grows with the number of videos, and their number times itself would be the work.
        """
        if time.monotonic() < self._page_due:
            return
        started = time.monotonic()
        self.write_page()
        now = time.monotonic()
        self._page_due = now + max(_PAGE_SECONDS, _PAGE_SHARE * (now - started))

    def _is_done(self, task: Task) -> bool:
        if not self._resume or task.stamp is None:
            return False
        there = Summary.load(self._out / task.folder / SUMMARY)
        if there is None or there.stamp != self._stamp(task):
            return False
        self._account(task, there, self.report.resumed)
        return True

    def _stamp(self, task: Task) -> dict[str, Any]:
        return {**self._settings, "video": task.stamp}

    def _account(self, task: Task, summary: Summary, folders: list[str]) -> None:
        folders.append(task.folder)
        self.report.tubes[task.name] = Counter(tube["label"] for tube in summary.tubes)
        if summary.problem:
            self.report.problems.append(
                f"{task.name}: {summary.problem} (what could be read is done)"
            )

    def _detect(self, task: Task, expected: int) -> VideoJob | None:
        """The first pass of a video; None where nothing can be done with it."""
        self._seeing.set_postfix_str(Path(task.name).name)
        video, frames = None, 0
        try:
            video = VideoJob(task, self._detector, self._out, self._cancelled)
            frames = video.detect(self._seeing.update)
        except BaseException as error:
            if video is not None:
                video.discard()
            self._judge(task, error)
            video = None
        if self._seeing.total is not None:
            self._seeing.total += frames - expected
        self._drawing.total = (self._drawing.total or 0) + frames
        return video

    def _write(self, video: VideoJob) -> None:
        """The second pass of a video, in the writer's thread."""
        try:
            summary = video.write(self._stamp(video.task), self._drawing.update)
            self._account(video.task, summary, self.report.done)
            self._refresh_page()
        except CancelledError:
            video.discard()
        except BaseException as error:
            video.discard()
            self._judge(video.task, error)

    def _judge(self, task: Task, error: BaseException) -> None:
        """Report what is wrong with a video; raises what is wrong with more than that."""
        if isinstance(error, (OutputError, ImportError)):
            raise error
        if isinstance(error, OSError) and error.errno in _FULL:
            what = f"{self._out}: {error.strerror}; what was finished stays"
            raise OutputError(f"{what}; make room, then go on with --resume") from error
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, (VideoError, FlowError)):
            reason = error.reason if isinstance(error, VideoError) else str(error)
        else:
            reason = f"{type(error).__name__}: {error}"
        self.report.problems.append(f"{task.name}: {reason}")


def _expected_frames(task: Task) -> int:
    """What a file's header promises; 0 where it promises nothing or cannot be read."""
    if task.stamp is None:
        return 0
    try:
        return task.open(Path()).expected or 0  # files keep nothing
    except (VideoError, OSError):
        return 0
