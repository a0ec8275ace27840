"""One video, from its frames to a folder with everything that was found in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pcsc_d2.detect.annotate import annotate
from pcsc_d2.detect.archive.layout import WORK_PREFIX
from pcsc_d2.detect.camera import interrupt_stops
from pcsc_d2.detect.detector import ActionDetector
from pcsc_d2.detect.inputs import Task
from pcsc_d2.detect.results import (
    CSV,
    JSON,
    SUMMARY,
    VIDEO,
    Summary,
    summarise,
    write_csv,
    write_json,
)
from pcsc_d2.detect.sources import Frame, Source
from pcsc_d2.detect.video_result import Recorder, VideoResult
from pcsc_d2.utils.leftovers import HeldFolder
from pcsc_d2.video import VideoError

Count = Callable[[int], Any]


class CancelledError(Exception):
    """The job is to end; nothing is wrong with the video."""


class VideoJob:
    """Makes the results of a video in a hidden folder that takes its place when it is complete.

    Args:
        task: the video.
        detector: finds.
        out: where its folder goes.
        cancelled: when set, the job ends as soon as it can.

    Raises:
        HeldError: another job is at work on this video.
        VideoError: results of another video of that name are in the place.
        OSError: the hidden folder cannot be made, or something else is in the place.
    """

    def __init__(
        self, task: Task, detector: ActionDetector, out: Path, cancelled: threading.Event
    ) -> None:
        self.task, self._detector, self._cancelled = task, detector, cancelled
        self.place = out / task.folder
        self._stamp = task.stamp()  # before it is read, in case that it changes meanwhile
        _check_place(self.place, self._stamp)
        self._held = HeldFolder(out, WORK_PREFIX, _work_name(task.folder))
        self._work = self._held.path
        self._kept = self._work / "kept"  # what is not part of the results
        self._kept.mkdir()
        self._source: Source | None = None
        self._result: VideoResult | None = None

    def detect(self, count: Count) -> int:
        """The first pass: detects and links.

        Args:
            count: told how many frames were looked through since it was last told.

        Returns:
            The number of frames.

        Raises:
            VideoError, FlowError: nothing can be done with the video.
        """
        labels = self._detector.model.info.labels
        source = self._source = self.task.open(self._kept)
        with Recorder(source, self._kept / "found", labels) as recorder:
            before = None
            with interrupt_stops(source):
                for found in self._detector.stream(recorder):
                    recorder.add(found.ended, found.kinetics)
                    count(found.frame - (before or found.frame - 1))
                    before = found.frame
            if not recorder.frames:
                raise VideoError(self.task.name, "gave no frame")
            self._result = recorder.result()
        if self._detector.options.persons:
            self._result = self._result.with_persons()
        return recorder.frames

    def write(self, settings: dict[str, Any], count: Count) -> Summary:
        """The second pass: draws and writes, and puts the folder in its place.

        Args:
            settings: what results depend on besides the video, for the ``Summary``'s stamp.
            count: told of every frame drawn.
        """
        result, work, stamp = self._result, self._work, settings | {"video": self._stamp}
        summary = summarise(result, self.task.name, self._detector.model.info.note, stamp)
        with self._detector.profile.part("write", 0):
            write_json(work / JSON, summary, result)
            write_csv(work / CSV, summary, result)
        frames = self._again(self._source.again(), count)
        annotate(work / VIDEO, frames, result, self._detector.profile)
        summary.save(work / SUMMARY)
        self._result = None
        shutil.rmtree(self._kept)
        self._held.release()
        self._put_in_place()
        return summary

    def discard(self) -> None:
        """Leave nothing."""
        self._result = None
        shutil.rmtree(self._work, ignore_errors=True)

    def _again(self, source: Source, count: Count) -> Iterator[Frame]:
        for frame in source:
            if self._cancelled.is_set():
                raise CancelledError
            yield frame
            count(1)

    def _put_in_place(self) -> None:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(self._work, 0o777 & ~umask)
        old = self._work.with_name(f"{self._work.name}-old")
        shutil.rmtree(old, ignore_errors=True)
        self.place.parent.mkdir(parents=True, exist_ok=True)
        if self.place.exists():
            os.replace(self.place, old)
        os.replace(self._work, self.place)
        shutil.rmtree(old, ignore_errors=True)


def _check_place(place: Path, stamp: dict[str, Any] | None) -> None:
    """FileExistsError or VideoError where what is in a video's place is not to be replaced.

    Args:
        place: the folder.
        stamp: of the video, see ``Task``.
    """
    if not place.exists():
        return
    if not (place / SUMMARY).is_file():
        raise FileExistsError(f"{place} is there and holds no results; remove or rename it")
    if any(inner.is_dir() for inner in place.iterdir()):
        raise FileExistsError(f"{place} holds folders besides its results; move them elsewhere")
    other = _other_source(Summary.load(place / SUMMARY), stamp or {})
    if other:
        reason = f"results of {other} are in {place}; remove them, or name another --out"
        raise VideoError(place, reason)


def _other_source(before: Summary | None, stamp: dict[str, Any]) -> str:
    """What results are of that another video's must not replace; empty where they may.

    A file that was moved is still the same.
    """
    if before is None or "video" not in before.stamp:
        return ""
    known = before.stamp["video"]
    if known is None:
        return before.video  # a camera or standard input, which cannot be had again
    known = known if isinstance(known, dict) else {}
    # Of an address the folder says enough: what it ends with may be a key that changes.
    of_file = "bytes" in known and ("bytes" in stamp or not stamp)
    if not of_file or all(known.get(key) == stamp.get(key) for key in ("bytes", "changed")):
        return ""
    source = str(known.get("source", ""))
    return source if source != stamp.get("source") else ""


def _work_name(folder: str) -> str:
    """The same for all jobs, so that one video is one job's at a time."""
    return hashlib.sha256(folder.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:20]
