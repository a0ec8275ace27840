"""Many videos: each detected, drawn and put in place as a whole; bad ones are reported.

While a video is detected, the one before it is drawn and written in another thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pcsc_d2.detect.archive.output import Output, OutputError
from pcsc_d2.detect.archive.report import Outcome, Report
from pcsc_d2.detect.detector import ActionDetector
from pcsc_d2.detect.inputs import Task
from pcsc_d2.detect.video_job import CancelledError, VideoJob
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.utils.leftovers import YOUNG, HeldError
from pcsc_d2.utils.progress import Bar, progress_bar
from pcsc_d2.video import VideoError

# Videos whose frames are counted ahead, for which each has to be opened.
_MOST_COUNTED = 100


class Bars:
    """How far the two passes are: in frames of a few videos, in videos of many.

    Args:
        tasks: the videos.
        show: draws them.
    """

    def __init__(self, tasks: Sequence[Task], show: bool) -> None:
        self._by_frame = len(tasks) <= _MOST_COUNTED
        unit = "frame" if self._by_frame else "video"
        self._seeing = tqdm(desc="detecting", unit=unit, position=0, disable=not show)
        self._drawing = tqdm(desc="drawing  ", unit=unit, position=1, disable=not show)
        if self._by_frame:
            self._expected = {task: expected_frames(task) for task in tasks}
            self._seeing.total = sum(self._expected.values()) or None
        else:
            self._seeing.total = self._drawing.total = len(tasks)

    def begin(self, task: Task) -> None:
        """Say which video it is."""
        self._seeing.set_postfix_str(Path(task.name).name, refresh=False)

    def seen(self, frames: int) -> None:
        """Frames have been looked through."""
        self._seeing.update(frames if self._by_frame else 0)

    def drawn(self, frames: int) -> None:
        """Frames have been drawn."""
        self._drawing.update(frames if self._by_frame else 0)

    def end(self, task: Task, frames: int) -> None:
        """A video has been looked through, and had so many frames."""
        if not self._by_frame:
            self._seeing.update(1)
            return
        self._drawing.total = (self._drawing.total or 0) + frames
        if self._seeing.total is not None:
            self._seeing.total += frames - self._expected[task]

    def written(self) -> None:
        """A video has been written."""
        self._drawing.update(0 if self._by_frame else 1)

    def close(self) -> None:
        """Leave them as they are."""
        self._seeing.close()
        self._drawing.close()


class Job:
    """Look through videos and write what is found; an interrupted job leaves whole results only.

    Args:
        detector: finds.
        output: gets a folder for each video.
        settings: what results depend on besides the video; compared when resuming.
        resume: videos whose results are there, from the same file and settings, are left out.
        progress: draws progress bars.
        page: keeps the page up to date.
        note_begun: notes which videos are begun, too.
    """

    def __init__(
        self,
        detector: ActionDetector,
        output: Output,
        settings: dict[str, Any],
        resume: bool = False,
        progress: bool = True,
        page: bool = True,
        note_begun: bool = False,
    ) -> None:
        self._detector, self._output, self._settings = detector, output, settings
        self._resume, self._progress, self._page = resume, progress, page
        self._note_begun = note_begun
        self._cancelled = threading.Event()
        self._told: Callable[[Outcome], None] = lambda outcome: None

    def run(self, tasks: Sequence[Task]) -> Report:
        """Do all tasks.

        Raises:
            OutputError: the disk is full; what was finished stays.
            KeyboardInterrupt: the same.
        """
        report = Report()
        self.outcomes(tasks, report.add)
        return report

    def outcomes(self, tasks: Sequence[Task], told: Callable[[Outcome], None]) -> None:
        """Do all tasks, and tell what became of each; see ``run``."""
        self._told = told
        todo = self._todo(tasks)
        with closing(Bars(todo, self._progress)) as self._bars:
            busy = self._all(todo)
            if busy:
                # Another job may have done them by now, or have been killed at it a moment ago.
                time.sleep(YOUNG)
                for task in self._all(busy):
                    told(self._output.add_failure(task, "another job is at work on it"))

    def done_meanwhile(self, task: Task) -> Outcome | None:
        """What became of a video that another process has done since this job began."""
        return self._output.done_meanwhile(task, self._settings)

    def _all(self, tasks: Sequence[Task]) -> list[Task]:
        """Do tasks; those that another job is at work on are given back."""
        busy: list[Task] = []
        with ThreadPoolExecutor(1) as writer:
            try:
                pending: Future[None] | None = None
                for task in tasks:
                    video = self._detect(task, busy)
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
        return busy

    def _todo(self, tasks: Sequence[Task]) -> list[Task]:
        """Those that are not done yet."""
        if not self._resume:
            return list(tasks)
        show = self._progress and len(tasks) > _MOST_COUNTED
        with progress_bar(len(tasks), "looking for what is done", "video", show) as bar:
            return [task for task in tasks if not self._is_done(task, bar)]

    def _is_done(self, task: Task, bar: Bar) -> bool:
        bar.update(1)
        before = self._output.done_before(task, self._settings)
        if before is not None:
            self._told(before)
        return before is not None

    def _detect(self, task: Task, busy: list[Task]) -> VideoJob | None:
        """The first pass of a video; None where nothing can, or need, be done with it."""
        self._bars.begin(task)
        video, frames = None, 0
        try:
            video = VideoJob(task, self._detector, self._output.path, self._cancelled)
            meanwhile = self.done_meanwhile(task)
            if meanwhile is None:
                if self._note_begun:
                    self._output.begin(task)
                frames = video.detect(self._bars.seen)
            else:
                self._told(meanwhile)
                video.discard()
                video = None
        except HeldError:
            busy.append(task)
        except BaseException as error:
            if video is not None:
                video.discard()
            self._judge(task, error)
            video = None
        self._bars.end(task, frames)
        return video

    def _write(self, video: VideoJob) -> None:
        """The second pass of a video, in the writer's thread."""
        try:
            summary = video.write(self._settings, self._bars.drawn)
            self._told(self._output.add(video.task, summary))
            if self._page:
                self._output.refresh_page()
        except CancelledError:
            video.discard()
        except BaseException as error:
            video.discard()
            self._judge(video.task, error)
        self._bars.written()

    def _judge(self, task: Task, error: BaseException) -> None:
        """Report what is wrong with a video; raises what is wrong with more than that."""
        if isinstance(error, (OutputError, ImportError)):
            raise error
        if (full := self._output.full(error)) is not None:
            raise full from error
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, (VideoError, FlowError)):
            reason = error.reason if isinstance(error, VideoError) else str(error)
        else:
            reason = f"{type(error).__name__}: {error}"
        self._told(self._output.add_failure(task, reason))


def expected_frames(task: Task) -> int:
    """What a file's header promises; 0 where it promises nothing or cannot be read."""
    if task.stamp() is None:
        return 0
    try:
        return task.open(Path()).expected or 0  # files keep nothing
    except (VideoError, OSError):
        return 0
