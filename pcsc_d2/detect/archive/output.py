"""The output folder of a job: what is there, what the job adds, and page and table of it all."""

from __future__ import annotations

import errno
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcsc_d2.detect.archive.journal import Journal, VersionError
from pcsc_d2.detect.archive.layout import PAGE, TABLE, WORK_PREFIX
from pcsc_d2.detect.archive.pages import PageWriter
from pcsc_d2.detect.archive.report import Outcome
from pcsc_d2.detect.archive.table import Totals, write_tables
from pcsc_d2.detect.inputs.tasks import Task
from pcsc_d2.detect.results import SUMMARY, Summary, partly_done
from pcsc_d2.utils.leftovers import remove_abandoned
from pcsc_d2.utils.progress import progress_bar

# The page is written anew after so many seconds, and so many times the seconds that it takes.
_PAGE_SECONDS, _PAGE_SHARE = 5.0, 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class OutputError(OSError):
    """The output folder takes nothing (more); the job cannot go on."""


class Output:
    """An output folder, which other jobs may be adding to as well.

    Args:
        out: the folder; it is made, and what a killed job left unfinished there is removed.
        settings: what results depend on besides the video; compared when resuming.
        began: when the job began that this process is a part of; results that are newer are of
            its other processes, or of another job. None takes the present.

    Attributes:
        path: of the folder.

    Raises:
        OutputError: why nothing can be written there.
    """

    def __init__(self, out: Path, began: int | None = None) -> None:
        self.path = out
        try:
            _prepare(out)
            self._journal = Journal(out, began)
            self.began = self._journal.began
            if self._journal.is_new:
                for _ in self._journal.adopt():
                    pass
            self._journal.refresh()
        except (VersionError, OSError) as error:
            raise _refusal(out, error) from None
        self._pages = PageWriter(out, self._journal)
        self._page_due = 0.0

    def done_before(self, task: Task, settings: dict[str, Any]) -> Outcome | None:
        """What became of a video whose results are there, of the same file and settings."""
        stamp = task.stamp()
        if stamp is None:
            return None
        there = self._journal.summary(task.folder)
        path = self.path / task.folder / SUMMARY
        if there is None:
            there = Summary.load(path)
            if there is not None:
                self._journal.add(task.folder, there)
        if there is None or there.stamp != settings | {"video": stamp} or not path.is_file():
            return None
        return outcome_of(task, there, "before")

    def done_meanwhile(self, task: Task, settings: dict[str, Any]) -> Outcome | None:
        """What became of a video that another job has done since this one began."""
        path = self.path / task.folder / SUMMARY
        try:
            if path.stat().st_mtime_ns < self.began:
                return None
        except OSError:
            return None
        there = Summary.load(path)
        if there is None:
            return None
        if there.stamp == settings | {"video": task.stamp()}:
            return outcome_of(task, there, "before")
        problem = f"{task.name}: another job has put other results into {task.folder}"
        return Outcome(task.name, "failed", {}, problem)

    def begin(self, task: Task) -> None:
        """Note that a video is begun; see ``tries``."""
        self._journal.begin(task.folder)

    def tries(self, tasks: Sequence[Task]) -> list[int]:
        """How often each video has been begun by the processes of this job."""
        self._journal.refresh()
        return [self._journal.tries[task.folder] for task in tasks]

    def add(self, task: Task, summary: Summary) -> Outcome:
        """Note that a video is done: its folder is in its place."""
        self._journal.add(task.folder, summary)
        return outcome_of(task, summary, "done")

    def add_failure(self, task: Task, reason: str) -> Outcome:
        """Note what is wrong with a video."""
        self._journal.add_failure(task.folder, task.name, reason)
        return Outcome(task.name, "failed", {}, f"{task.name}: {reason}")

    def refresh_page(self) -> None:
        """Write the page where that takes little of the time since it was last written.

        It grows with the number of videos, and their number times itself would be the work.
        """
        if time.monotonic() < self._page_due:
            return
        started = time.monotonic()
        self.write_page(whole=False)
        now = time.monotonic()
        self._page_due = now + max(_PAGE_SECONDS, _PAGE_SHARE * (now - started))

    def write_page(self, whole: bool = True) -> None:
        """Write the page of all videos in the output folder, those of other jobs too.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._pages.write(whole)
        except OSError as error:
            raise OutputError(f"{self.path / PAGE}: cannot be written: {error.strerror}") from error

    def finish(self, progress: bool, look_for_more: bool = False) -> Totals:
        """Write the page, the table and the counts of all videos in the output folder.

        Args:
            progress: draws a progress bar.
            look_for_more: looks through the whole folder for results that no journal knows.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            if look_for_more:
                for _ in self._journal.adopt():
                    pass
            self.write_page()
            folders = sorted(self._journal.done)
            problems = self._journal.problems()
            with progress_bar(len(folders), "table", "video", progress) as bar:
                return write_tables(self.path, folders, problems, bar.update)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"{self.path / TABLE}: cannot be written: {error.strerror}"
            ) from error

    def full(self, error: BaseException) -> OutputError | None:
        """What to raise where an error says that the disk takes no more; else None."""
        if not isinstance(error, OSError) or error.errno not in _FULL:
            return None
        what = f"{self.path}: {error.strerror}; what was finished stays"
        return OutputError(f"{what}; make room, then go on with --resume")

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def outcome_of(task: Task, summary: Summary, state: str) -> Outcome:
    """What became of a video, by its summary."""
    problem = partly_done(task.name, summary.problem) if summary.problem else ""
    labels = Counter(tube["label"] for tube in summary.tubes)
    return Outcome(task.name, state, labels, problem)


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    remove_abandoned([*out.glob(f"{WORK_PREFIX}*"), *out.glob(f".{PAGE}.*")])


def _refusal(out: Path, error: Exception) -> OutputError:
    if isinstance(error, VersionError):
        return OutputError(str(error))
    reason = error.strerror or str(error)
    return OutputError(f"{out}: cannot be written to ({reason}); give another --out")
