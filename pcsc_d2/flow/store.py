"""Flow of videos, computed once and kept on disk, or on the fly."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from pcsc_d2.flow.codec import FlowFile, decode_flow, encode_flow, write_flow_file
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import FlowMethod, flow_method
from pcsc_d2.utils.leftovers import remove_abandoned
from pcsc_d2.utils.pools import process_pool
from pcsc_d2.video.decoding import DecodingRule
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.open_files import OpenFiles
from pcsc_d2.video.reading import ByteLRU, FrameCache, VideoSource, read_frames

logger = logging.getLogger(__name__)
_OPEN_FILES = 16


@dataclass
class FlowReport:
    """What ``FlowStore.precompute`` did: numbers of videos, and a line for each that failed."""

    made: int = 0
    present: int = 0
    failed: list[str] = field(default_factory=list)

    def __add__(self, other: FlowReport) -> FlowReport:
        return FlowReport(
            self.made + other.made, self.present + other.present, self.failed + other.failed
        )

    def __str__(self) -> str:
        counts = f"flow of {self.made} videos computed, {self.present} were there already"
        return f"{counts}, {len(self.failed)} failed"


class FlowStore:
    """Flow of videos by one method, through the same codes wherever it comes from.

    With a folder, the flow of a video is computed when it is first read and kept in
    ``<folder>/<method>/<key>.zip``; without one, only the fields asked for are computed.

    Args:
        folder: where flow is kept, need not be where the videos are; None computes on the fly.
        method: a name known to ``flow``, or a method.
        bound: u and v are clipped to +-bound pixels and held in 8 bits (I3D clips flow to +-20);
            None holds them as floats in half precision, at some twenty times the disk space.
        frames: where the frames come from that flow on the fly needs.
        cache_bytes: for fields kept in memory, 150 KB each at 240 x 320.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        method: str | FlowMethod = "dis",
        bound: float | None = 20.0,
        frames: FrameCache | None = None,
        cache_bytes: int = 1 << 27,
    ) -> None:
        if bound is not None and not bound > 0:
            raise ValueError(f"the flow bound must be above 0 pixels, not {bound}")
        self.folder = None if folder is None else Path(folder)
        self.method = flow_method(method) if isinstance(method, str) else method
        self.bound = None if bound is None else float(bound)
        self.frames = frames
        self._fields = ByteLRU(cache_bytes)
        self._files: OpenFiles[FlowFile] = OpenFiles(_OPEN_FILES)

    def path(self, key: str) -> Path:
        """The file of a video's flow; ValueError for a key that leaves the folder."""
        relative = PurePosixPath(key)
        if self.folder is None or relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"flow key '{key}': expected a relative name, and a store on disk")
        return self.folder / self.method.name / f"{key}.zip"

    def read(
        self,
        video: str | os.PathLike[str],
        key: str,
        indices: Sequence[int] | np.ndarray,
        rule: DecodingRule = "coded",
    ) -> np.ndarray:
        """Some flow fields of a video.

        Args:
            video: a video file or a folder of frames.
            key: the video's name in the store.
            indices: (T,) 0-based, see ``clips.flow_indices``; repeats allowed.
            rule: how frames are counted, "coded" or "constant_rate".

        Returns:
            (T, H, W, 2) float32, u and v in pixels; zero for a video of one frame.

        Raises:
            VideoError: the video cannot be read, or has no such frames.
            FlowError: the stored flow is of other settings, or damaged, or has no such fields.
            ValueError: the method cannot run at all, such as for want of its weights.
        """
        return decode_flow(np.stack(self.read_codes(video, key, indices, rule)), self.bound)

    def read_codes(
        self,
        video: str | os.PathLike[str],
        key: str,
        indices: Sequence[int] | np.ndarray,
        rule: DecodingRule = "coded",
    ) -> list[np.ndarray]:
        """Like ``read``, but the codes of each field, (H, W, 2): not to be changed."""
        names = {int(i): (os.fspath(video), key, rule, int(i)) for i in indices}
        found = {i: self._fields.get(name) for i, name in names.items()}
        missing = sorted(i for i, codes in found.items() if codes is None)
        if missing:
            source = self._on_the_fly if self.folder is None else self._from_disk
            for i, codes in zip(missing, source(video, key, missing, rule)):
                found[i] = codes
                self._fields.put(names[i], codes)
        return [found[int(i)] for i in indices]

    def precompute(
        self,
        videos: Iterable[tuple[str, str | os.PathLike[str]]],
        rule: DecodingRule = "coded",
        processes: int = 1,
        progress: bool = True,
    ) -> FlowReport:
        """Compute the flow of all videos that is not there yet; can be stopped and started again.

        Args:
            videos: key and path of each.
            rule: how frames are counted, "coded" or "constant_rate".
            processes: that share the work; a method that shares it itself runs in this one. They
                are started afresh: a script needs ``if __name__ == "__main__"``.
            progress: show a bar.

        Returns:
            The counts; a video that cannot be read is reported there, and the others go on.
        """
        report, todo = FlowReport(), list(videos)
        if self.folder is not None:
            unfinished = (self.folder / self.method.name).rglob(".*.zip.*")
            remove_abandoned(unfinished)
        with tqdm(
            total=len(todo),
            desc=f"flow ({self.method.name})",
            unit="video",
            disable=not progress,
        ) as bar:
            for outcome in self._all_made(todo, rule, processes):
                if outcome is None:
                    report.present += 1
                elif outcome:
                    report.failed.append(outcome)
                    bar.write(outcome, file=sys.stderr)
                else:
                    report.made += 1
                bar.update()
        logger.info("%s", report)
        return report

    def _all_made(
        self, todo: list[tuple[str, str | os.PathLike[str]]], rule: DecodingRule, processes: int
    ) -> Iterator[str | None]:
        if processes <= 1 or self.method.in_process:
            yield from (_make(self, key, video, rule) for key, video in todo)
            return
        # The processes share the cores already.
        with process_pool(processes, [__name__], partial(cv2.setNumThreads, 1)) as pool:
            tasks = [pool.submit(_make, self, key, video, rule) for key, video in todo]
            yield from (task.result() for task in as_completed(tasks))

    def _from_disk(
        self, video: str | os.PathLike[str], key: str, indices: list[int], rule: DecodingRule
    ) -> list[np.ndarray]:
        file = self._files.get((key, rule), lambda: self._opened(video, key, rule))
        if file.meta["fields"] == 0:
            return [self._still(file.meta["size"])] * len(indices)
        return file.read(indices)

    def _opened(self, video: str | os.PathLike[str], key: str, rule: DecodingRule) -> FlowFile:
        if not self.is_current(video, key, rule):
            self.make(video, key, rule)
        return FlowFile(self.path(key))

    def _on_the_fly(
        self, video: str | os.PathLike[str], key: str, indices: list[int], rule: DecodingRule
    ) -> list[np.ndarray]:
        needed = sorted({j for i in indices for j in (i, i + 1)})
        try:
            frames = read_frames(video, needed, rule, self.frames)
        except VideoError as error:
            if error.decoded == 1 and indices == [0]:
                return [self._still(VideoSource(video, rule).size)]
            raise
        fields = dict(zip(needed, self._codes(frames)))
        return [fields[i] for i in indices]

    def _codes(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return (encode_flow(flow, self.bound) for flow in self.method(frames))

    def _still(self, size: Sequence[int]) -> np.ndarray:
        return encode_flow(np.zeros((*size, 2), np.float32), self.bound)

    def _settings(self, rule: DecodingRule) -> dict[str, str | float | None]:
        method = {"method": self.method.name, "version": self.method.version}
        return {**method, "bound": self.bound, "rule": rule}

    def is_current(self, video: str | os.PathLike[str], key: str, rule: DecodingRule) -> bool:
        """Whether the flow of a video is on disk and was computed from this very file.

        Raises:
            FlowError: it was computed with other settings, or is damaged.
        """
        path = self.path(key)
        if not path.is_file():
            return False
        with FlowFile(path) as file:
            meta = file.meta
        for name, wanted in self._settings(rule).items():
            unknown = name == "version" and wanted is None  # of flow that was made elsewhere
            if meta.get(name) != wanted and not unknown:
                raise FlowError(
                    f"{path}: flow with {name} {meta.get(name)}, wanted {wanted}; "
                    "remove it or name another flow folder"
                )
        stamp = video_stamp(video)
        if stamp is not None and stamp != meta.get("source"):
            logger.warning("%s: the video has changed, its flow is computed again", path)
            return False
        return True

    def make(self, video: str | os.PathLike[str], key: str, rule: DecodingRule) -> None:
        """Compute the flow of a video and write it to disk.

        Raises:
            VideoError: the video cannot be read to its end.
        """
        source = VideoSource(video, rule)
        meta = {**self._settings(rule), "size": source.size, "source": video_stamp(video)}
        write_flow_file(self.path(key), self._codes(source), meta)


def _make(
    store: FlowStore, key: str, video: str | os.PathLike[str], rule: DecodingRule
) -> str | None:
    """None where the flow was there, "" where it was made, else why it could not be."""
    try:
        if store.is_current(video, key, rule):
            return None
        store.make(video, key, rule)
    except (VideoError, FlowError) as error:
        return str(error)
    return ""


def video_stamp(video: str | os.PathLike[str]) -> int | None:
    """What tells a replaced video: the size of the file, or the number of frames in the folder."""
    path = Path(video)
    if path.is_dir():
        return sum(1 for _ in path.iterdir())
    return path.stat().st_size if path.is_file() else None
