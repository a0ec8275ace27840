"""What is wrong with a dataset on disk, found before training and not after."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from pcsc_d2.datasets.layout import DatasetFiles
from pcsc_d2.datasets.repair import (
    AnnotationIssues,
    Clip,
    LocatedClips,
    fit_to_clips,
    locate_clips,
)
from pcsc_d2.flow.codec import FlowFile
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.tubes import GroundTruth
from pcsc_d2.utils.files import write_json
from pcsc_d2.video.decoding import DecodingRule
from pcsc_d2.video.errors import VideoError
from pcsc_d2.video.reading import VideoSource

KINDS: dict[str, str] = {
    "missing": "annotated videos are not there",
    "unreadable": "videos cannot be decoded",
    "frames": "clips have another number of frames than annotated",
    "rows": "annotation files have rows that cannot be understood, or are there twice",
    "beyond": "videos have boxes after their last frame",
    "clipped": "videos have boxes that reach outside the image",
    "dropped": "videos have boxes that are inverted, empty or outside the image",
    "no_tubes": "clips have no ground truth",
    "empty_class": "classes have no clip",
    "unannotated": "videos of the split lists are not annotated",
    "flow_missing": "clips have no flow, others of that method have",
    "flow_wrong": "flow files are damaged or of another method, length, size or rule",
}
"""Kind of problem -> what there is a number of."""


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        dataset: its name.
        counts: of videos, clips, frames, tubes and boxes; of the clips of each split.
        problems: kind -> video (class, file) -> what is wrong there.
        notes: what is worth knowing and no problem.
    """

    dataset: str
    counts: dict[str, int] = field(default_factory=dict)
    problems: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, found: Mapping[str, str]) -> None:
        """Add problems of a kind of ``KINDS``."""
        if found:
            self.problems.setdefault(kind, {}).update(found)

    def table(self, examples: int = 3) -> str:
        """The counts, then a line for each kind of problem and for its first videos."""
        counts = ", ".join(f"{number:,} {what}" for what, number in self.counts.items())
        lines = [f"{self.dataset}: {counts}"]
        for kind in (kind for kind in KINDS if kind in self.problems):
            found = self.problems[kind]
            lines.append(f"  {kind:<12} {len(found):>6,}  {KINDS[kind]}")
            first = list(found.items())[:examples]
            lines += [f"{'':<23}{name}: {text}" for name, text in first]
            if len(found) > examples:
                lines.append(f"{'':<23}... and {len(found) - examples:,} more")
        lines += [f"  note: {note}" for note in self.notes]
        if not self.problems:
            lines.append("  no problems")
        return "\n".join(lines)


class Measured(NamedTuple):
    """A clip as it is: by the dataset's rule, and its frames by either rule."""

    clip: Clip
    coded: int
    constant_rate: int


class Checked(NamedTuple):
    """A report, and what is needed to draw: ground truth that fits the clips, and their paths."""

    report: CheckReport
    truth: GroundTruth
    paths: dict[str, Path]


def check_dataset(
    root: str | os.PathLike[str],
    files: DatasetFiles,
    flow: str | os.PathLike[str] | None = None,
    decode: bool = True,
    threads: int = 1,
) -> Checked:
    """Check a dataset: its videos, annotations, splits and flow.

    Args:
        root: of all datasets.
        files: of the one.
        flow: the folder of flow; None for ``<root>/flow``.
        decode: whether every frame is decoded; otherwise only what counting frames needs.
        threads: that decode.

    Raises:
        FileNotFoundError: no annotations.
        ValueError: annotations that cannot be read.
    """
    root, issues = Path(root), AnnotationIssues()
    report = CheckReport(files.name)
    truth = files.ground_truth(root, issues)
    videos = files.videos(root)
    found = locate_clips(videos, truth.videos.tolist(), files.decoding, issues)
    paths, absent = found.paths, found.absent
    report.add("missing", dict.fromkeys(absent, f"neither a file nor a folder in {videos}"))
    measured = _measure(found, decode, threads, issues)
    clips = {name: m.clip for name, m in measured.items()}
    fitted = fit_to_clips(truth.select(list(clips)), clips, issues)
    _count(report, truth, fitted)
    _report_issues(report, issues, measured)
    _report_coverage(report, truth, paths, set(files.videos_there(root, truth)))
    _report_rules(report, measured)
    _report_flow(report, Path(flow or root / "flow"), files, clips)
    return Checked(report, fitted, {name: paths[name] for name in clips})


def write_reports(path: str | os.PathLike[str], reports: list[CheckReport]) -> None:
    """Write reports as JSON, atomically."""
    write_json(path, {report.dataset: asdict(report) for report in reports})


def _measure(
    found: LocatedClips, decode: bool, threads: int, issues: AnnotationIssues
) -> dict[str, Measured]:
    clips, paths = found.clips, found.paths
    # Decoding leaves the interpreter free, so threads share the work.
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        tasks = [pool.submit(_frames_by_rule, paths[name], decode) for name in clips]
        bar = tqdm(tasks, desc="decoding clips", unit="video", delay=1)
        results = dict(zip(clips, [task.result() for task in bar]))
    issues.unreadable.update({n: r for n, r in results.items() if isinstance(r, str)})
    return {n: Measured(clips[n], *r) for n, r in results.items() if not isinstance(r, str)}


def _frames_by_rule(path: Path, decode: bool) -> tuple[int, int] | str:
    """The number of coded frames and of places at the constant rate, or why there is none."""
    try:
        coded = VideoSource(path, "coded")
        frames = sum(1 for _ in coded) if decode else len(coded)
        return frames, len(VideoSource(path, "constant_rate"))
    except VideoError as error:
        return str(error)


def _count(report: CheckReport, truth: GroundTruth, fitted: GroundTruth) -> None:
    there = set(fitted.videos.tolist())
    report.counts = {
        "annotated videos": len(truth.videos),
        "clips": len(there),
        "frames": int(fitted.nframes.sum()),
        "tubes": len(fitted.tubes.video),
        "boxes": len(fitted.tubes.boxes),
    }
    for number, sides in enumerate(zip(truth.train, truth.test), start=1):
        for part, names in zip(("train", "test"), sides):
            report.counts[f"split {number} {part} clips"] = len(there.intersection(names))


def _report_issues(
    report: CheckReport, issues: AnnotationIssues, measured: Mapping[str, Measured]
) -> None:
    report.add("unreadable", issues.unreadable)
    texts = {}
    for name, (annotated, _) in issues.frame_counts.items():
        m = measured[name]
        counts = f"{m.coded} coded, {m.constant_rate} at the constant frame rate"
        texts[name] = f"{annotated} annotated; {counts}"
    report.add("frames", texts)
    for kind in ("beyond", "clipped", "dropped"):
        found: Counter[str] = getattr(issues, kind)
        report.add(kind, {name: f"{number} boxes" for name, number in found.items()})
    report.add("rows", {Path(f).name: f"{n} rows left out" for f, n in (+issues.rows).items()})
    report.add("unannotated", dict.fromkeys(issues.unannotated, "not in the annotation file"))


def _report_coverage(
    report: CheckReport, truth: GroundTruth, paths: Mapping[str, Path], shown: set[str]
) -> None:
    """Clips that no tube speaks of, and classes that no clip shows."""
    with_tubes = set(truth.videos[truth.tubes.video].tolist())
    listed = dict.fromkeys(name for side in truth.test for name in side)
    bare = [name for name in listed if name not in with_tubes]
    report.add("unannotated", dict.fromkeys(bare, "annotated without a tube"))
    empty = {n: "annotated without a tube" for n in paths if n not in with_tubes}
    known = set(truth.videos.tolist())
    report.add("no_tubes", {**empty, **dict.fromkeys(sorted(shown - known), "not annotated")})
    classes = set(truth.tubes.classes[[str(truth.videos[v]) in paths for v in truth.tubes.video]])
    absent = [label for i, label in enumerate(truth.labels) if i not in classes]
    report.add("empty_class", dict.fromkeys(absent, "no clip with a tube of it is there"))


def _report_rules(report: CheckReport, measured: Mapping[str, Measured]) -> None:
    differing = [n for n, m in measured.items() if m.coded != m.constant_rate]
    if differing:
        m = measured[differing[0]]
        counts = f"{differing[0]}: {m.coded} and {m.constant_rate}"
        report.notes.append(
            f"{len(differing)} clips have fewer or more coded frames than the constant frame rate "
            f"has places ({counts}); frame numbers are right by the dataset's rule only"
        )


def _report_flow(
    report: CheckReport, folder: Path, files: DatasetFiles, clips: Mapping[str, Clip]
) -> None:
    methods = sorted(p.parent for p in folder.glob(f"*/{files.name}") if p.is_dir())
    if not methods:
        report.notes.append(f"no flow in {folder}: it is computed on first use")
    for method in methods:
        for name, clip in tqdm(clips.items(), f"flow ({method.name})", unit="video", delay=2):
            path = method / files.name / f"{name}.zip"
            if not path.is_file():
                report.add("flow_missing", {f"{method.name}/{name}": "no such file"})
                continue
            wrong = _flow_trouble(path, method.name, clip, files.decoding)
            if wrong:
                report.add("flow_wrong", {f"{method.name}/{name}": wrong})


def _flow_trouble(path: Path, method: str, clip: Clip, rule: DecodingRule) -> str:
    """What is wrong with a flow file, or ""."""
    try:
        with FlowFile(path) as file:
            meta = file.meta
            fields = file.read([0, meta["fields"] - 1]) if meta["fields"] else []
    except FlowError as error:
        return str(error)
    if meta.get("method") != method:
        return f"of the method '{meta.get('method')}'; move it to the folder of that name"
    if meta["fields"] != max(clip.frames - 1, 0):
        return f"{meta['fields']} fields for a clip of {clip.frames} frames; remove it"
    sizes = {tuple(meta["size"]), *(codes.shape[:2] for codes in fields)}
    if sizes != {(clip.height, clip.width)}:
        height, width = (sizes - {(clip.height, clip.width)}).pop()
        return f"{height} x {width} pixels, the clip has {clip.height} x {clip.width}; remove it"
    if meta.get("rule") != rule:
        return f"frames counted by the rule '{meta.get('rule')}' instead of '{rule}'; remove it"
    return ""
