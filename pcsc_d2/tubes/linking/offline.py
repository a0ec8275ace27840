"""Offline linking: the frames of many videos, fed to the online linker in lockstep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pcsc_d2.tubes.arrays import ranges
from pcsc_d2.tubes.assembly import assemble, concatenate
from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.linking.labelling import label_in_time
from pcsc_d2.tubes.linking.online import OnlineLinker
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.structures import Tubes
from pcsc_d2.utils.pools import process_pool
from pcsc_d2.utils.progress import progress_bar

# Enough videos side by side that array operations are long, few enough for bounded memory.
_CHUNK_DETECTIONS = 400_000


def link(
    detections: Detections,
    options: LinkOptions | None = None,
    processes: int = 1,
    progress: bool = False,
) -> Tubes:
    """Link the detections of all videos into action tubes (Singh et al. 2017).

    Args:
        processes: how many to share the videos among; the result is the same. They are started
            afresh, so that a script that asks for several needs ``if __name__ == "__main__"``.
        progress: draws a progress bar.

    Returns:
        Tubes by video, class, and order of birth, over the detections' videos and labels.
    """
    options = options or LinkOptions()
    chunks = list(_chunks(detections, processes))
    jobs = ((detections.select(detections.videos[chunk]), options) for chunk in chunks)
    parts = []
    with progress_bar(len(detections.videos), "linking", "video", progress) as bar:
        for chunk, tubes in zip(chunks, _run(jobs, min(processes, len(chunks))), strict=True):
            parts.append(replace(tubes, videos=detections.videos, video=chunk[tubes.video]))
            bar.update(len(chunk))
    return concatenate(parts)


def _run(jobs: Iterator[tuple[Detections, LinkOptions]], processes: int) -> Iterator[Tubes]:
    if processes <= 1:
        yield from map(_link_chunk, jobs)
        return
    with process_pool(processes, [__name__]) as pool:
        yield from pool.map(_link_chunk, jobs)


def _chunks(detections: Detections, processes: int) -> Iterator[np.ndarray]:
    """Videos to be linked side by side, of similar length, the longest first."""
    order = np.argsort(-detections.nframes, kind="stable")
    counts = np.diff(detections.frame_ptr[detections.video_ptr])[order]
    size = min(_CHUNK_DETECTIONS, max(1, len(detections) // max(processes, 1)))
    number = np.cumsum(counts) // size
    cuts = np.flatnonzero(np.diff(number, prepend=-1)) if len(number) else np.zeros(1, np.int64)
    return iter(np.split(order, cuts[1:]))


def _link_chunk(job: tuple[Detections, LinkOptions]) -> Tubes:
    return link_side_by_side(*job)[0]


def link_side_by_side(detections: Detections, options: LinkOptions) -> tuple[Tubes, np.ndarray]:
    """Link frame k of all videos at once.

    Args:
        detections: of one video, or of several, the longest first.

    Returns:
        As ``link``; and (M,) int64 the detection behind each box of the tubes, which is the next
        found one where a box fills a gap.
    """
    num_classes = len(detections.labels)
    linker = OnlineLinker(len(detections.videos) * num_classes, options)
    counts = np.diff(detections.frame_ptr)
    steps = []
    for step in range(int(detections.nframes.max(initial=0))):
        going = int(np.searchsorted(-detections.nframes, -step, side="left"))
        rows = detections.video_ptr[:going] + step
        index = ranges(detections.frame_ptr[rows], counts[rows])
        video = np.repeat(np.arange(going), counts[rows])
        groups = video * num_classes + detections.classes[index]
        linked = linker.update(detections.boxes[index], detections.scores[index], groups)
        frame = np.full(len(linked.index), step + 1)
        steps.append((video[linked.index], linked.path, frame, index[linked.index]))
    columns = [np.concatenate(column) for column in zip(*steps, strict=True)]
    columns = columns or [np.zeros(0, np.int64)] * 4
    tubes, sources = assemble(detections, *columns, options)
    if options.temporal_alpha is None:
        return tubes, sources
    tubes, boxes = label_in_time(tubes, detections, options)
    return tubes, sources[boxes]
