"""Flow of a dataset's clips that other programs made, converted into the flow store."""

from __future__ import annotations

from pathlib import Path

from pcsc_d2.datasets.layout import DatasetFiles
from pcsc_d2.flow.store import FlowReport, FlowStore
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video.files import locate_videos


def convert_flow(
    store: FlowStore, root: Path, files: DatasetFiles, truth: GroundTruth, processes: int
) -> FlowReport:
    """Convert the flow of the annotated clips that are there.

    Args:
        store: of a ``FlowFiles`` method that has a folder.
        root: of all datasets.
        files: of the dataset.
        truth: its annotations.
        processes: that share the work.
    """
    clips = locate_videos(files.videos(root), truth.videos.tolist())
    todo = [(f"{files.name}/{name}", path) for name, path in clips.items() if path is not None]
    return store.precompute(todo, files.decoding, processes)
