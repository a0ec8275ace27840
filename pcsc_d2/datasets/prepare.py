"""Datasets as they are distributed, laid out under the root that the registered names read.

Videos, frames and annotations are linked, not copied; only archives are unpacked, to
``<root>/unpacked/<dataset>``. What is there already and right is left alone, so that an
interrupted run goes on, and a later one adds what is new.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from pcsc_d2.datasets.annotations import read_puppet_masks
from pcsc_d2.datasets.flow import convert_flow
from pcsc_d2.datasets.layout import DATASETS
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.datasets.sources import Sources, find_sources
from pcsc_d2.flow.conversion import FlowFiles
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.video.files import find_video

Annotate = Callable[[Sources, Path], None]
"""Puts the annotations that were found into the dataset's folder under a root."""


@dataclass
class PreparationReport:
    """What a preparation did: numbers of clips, and what is worth knowing.

    Attributes:
        linked: clips linked now.
        present: clips that were there already.
        missing: annotated clips that are neither in the sources nor there.
        failed: why flow could not be converted, a line for each clip.
        notes: lines.
    """

    linked: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.linked} clips linked, {self.present} were there already"]
        if self.missing:
            first = f"the first is {self.missing[0]}"
            lines.append(f"{len(self.missing)} annotated clips were not found ({first})")
        return "\n".join([*lines, *self.notes])


def prepare(
    sources: Sequence[str | os.PathLike[str]],
    root: str | os.PathLike[str],
    name: str,
    flow: str | None = None,
    processes: int = 1,
    flow_bound: float = 20.0,
) -> PreparationReport:
    """Lay out a dataset.

    Args:
        sources: folders, archives and files as they are distributed, in any number; of what is
            in two of them, the first counts.
        root: of all datasets.
        name: ``ucf24`` or ``jhmdb``.
        flow: the name of the method under which flow images found are converted; None: not.
        processes: that unpack and convert.
        flow_bound: of flow in 8-bit pairs of u and v, in pixels.

    Raises:
        FileNotFoundError: a source is not there, or no annotations are in them.
        ValueError: an archive or annotations that cannot be read; a flow name that is taken.
    """
    root, files = Path(root), DATASETS[name]
    method = None if flow is None else FlowFiles(flow, bound=flow_bound)
    found = find_sources([Path(s) for s in sources], root / "unpacked" / name, processes)
    _ANNOTATE[name](found, root)
    truth = files.ground_truth(root, AnnotationIssues())
    report = PreparationReport()
    for video in tqdm(truth.videos.tolist(), desc="linking clips", unit="clip", delay=1):
        _link_clip(root, name, video, found.clips.get(video), report)
    if len(report.missing) == len(truth.videos):
        report.notes.append("expected <class>/<video>.avi, or <class>/<video>/ with frames")
    if method is not None and found.flow is not None:
        store = FlowStore(root / "flow", replace(method, folder=found.flow))
        done = convert_flow(store, root, files, truth, processes)
        report.failed += done.failed
        report.notes += [str(done), f"train with it: INPUT.FLOW.METHOD {flow}"]
    elif method is not None:
        report.notes.append("no flow among the sources")
    elif found.flow is not None:
        report.notes.append(f"{found.flow}: flow, left alone; --flow <name> converts it")
    return report


def link(target: Path, source: Path, root: Path) -> bool:
    """Make a link to a file or folder; whether there was something to do.

    A link that leads elsewhere is replaced, a file or folder proper is left alone. Links that
    stay under the root are relative, so that it can be moved.
    """
    source = source.resolve()
    if target.exists() and (not target.is_symlink() or target.resolve() == source):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    inside = source.is_relative_to(root.resolve())
    text = os.path.relpath(source, target.parent.resolve()) if inside else str(source)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(text, target_is_directory=source.is_dir())
    temporary.replace(target)
    return True


def _link_clip(
    root: Path, dataset: str, name: str, source: Path | None, report: PreparationReport
) -> None:
    videos = root / dataset / "videos"
    existing = find_video(videos, name)
    if source is None:
        if existing is None:
            report.missing.append(name)
        else:
            report.present += 1
        return
    suffix = "" if source.is_dir() else source.suffix.lower()
    target = videos / f"{name}{suffix}"
    if existing is not None and existing != target:
        if not existing.is_symlink():
            report.present += 1
            return
        existing.unlink()  # a link to the clip in another form, which would hide this one
    if link(target, source, root):
        report.linked += 1
    else:
        report.present += 1


def _link_files(found: Iterable[Path], folder: Path, root: Path) -> None:
    for path in found:
        link(folder / path.name, path, root)


def _annotate_ucf(found: Sources, root: Path) -> None:
    folder = root / "ucf24"
    files = [path for name, path in found.files.items() if name != "JHMDB-GT.pkl"]
    _link_files(files, folder / "annotations", root)
    act_style = (folder / "annotations" / "UCF101v2-GT.pkl").exists()
    if not act_style and not (folder / "annotations" / "testlist01.txt").exists():
        raise FileNotFoundError(
            f"{folder}: no testlist01.txt among the sources; add UCF101's official test lists"
        )


def _annotate_jhmdb(found: Sources, root: Path) -> None:
    folder = root / "jhmdb"
    _link_files(found.splits.values(), folder / "splits", root)
    target = folder / "annotations" / "JHMDB-GT.pkl"
    if "JHMDB-GT.pkl" in found.files:
        link(target, found.files["JHMDB-GT.pkl"], root)
    elif found.masks is not None and not _covers(target, found.masks):
        read_puppet_masks(found.masks, folder / "splits").save(target)
    if not target.exists():
        raise FileNotFoundError(
            f"{folder}: no annotations among the sources; add JHMDB-GT.pkl, or puppet_mask "
            "together with splits"
        )


_ANNOTATE: dict[str, Annotate] = {"ucf24": _annotate_ucf, "jhmdb": _annotate_jhmdb}


def _covers(path: Path, masks: Path) -> bool:
    """Whether a ground truth file is there and knows every video that has a mask."""
    if not path.exists():
        return False
    names = {"/".join(mask.parts[-3:-1]) for mask in masks.glob("*/*/puppet_mask.mat")}
    return names <= set(GroundTruth.load(path).videos.tolist())
