"""The paper's Table 6: video mAP with and without temporal refinement, over several seeds.

``pcsc experiments refinement`` takes detectors that are trained (``<runs>/seed<k>/baseline`` and
``<runs>/seed<k>/pcsc``, as ``pcsc experiments stages`` leaves them), trains actionness heads on
their tubes over the training videos, refines the tubes of the test videos and prints the table.
What each step leaves in ``<runs>/seed<k>/refinement`` is kept, and an interrupted run goes on from
there; the tables go to ``<runs>/refinement.md`` and ``.json``, curves of actionness to
``<runs>/seed<k>/refinement/page.html``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from torch import nn

from pcsc_d2.config import changed
from pcsc_d2.data import precompute_flow
from pcsc_d2.data.custom import check_registered
from pcsc_d2.engine.actionness.choose import choose, fit_parts
from pcsc_d2.engine.actionness.collect import Limit, collect, truth_of
from pcsc_d2.engine.actionness.fit import ActionnessTask
from pcsc_d2.engine.actionness.samples import (
    VideoSamples,
    all_tubes,
    load_detections,
    load_features,
)
from pcsc_d2.engine.actionness.task import Task, fit_once
from pcsc_d2.engine.segments.fit import SegmentsTask
from pcsc_d2.evaluation import link_options
from pcsc_d2.experiments.refinement_tables import Row, write_tables
from pcsc_d2.experiments.runs import load_detector
from pcsc_d2.modeling.actionness_head import BOTH, FEATURES
from pcsc_d2.tubes import (
    GroundTruth,
    Refinement,
    RefinementSearch,
    Tubes,
    link,
)
from pcsc_d2.tubes.assembly import join_videos
from pcsc_d2.tubes.report.actionness_curves import notable_curves
from pcsc_d2.tubes.report.page import report_page
from pcsc_d2.tubes.scoring.results import score
from pcsc_d2.utils.files import atomic_write

# Singh et al. 2017.
ALPHA = 3.0


@dataclass(frozen=True)
class Variant:
    """A way to refine the tubes of PCSC: what is trained for it, and options of that."""

    task: type[Task] = ActionnessTask
    options: Mapping[str, object] = field(default_factory=dict)
    # Variants of one head share its fits.
    head: str = "class_specific"

    def same_as(self, cfg: CfgNode) -> bool:
        """Whether its options are the config's own, so that "refined" says the same."""
        return bool(self.options) and changed(cfg, self.options) == cfg


VARIANTS = {
    "refined": Variant(),
    "general": Variant(options={"MODEL.ACTIONNESS.CLASS_SPECIFIC": False}, head="general"),
    "loose_labels": Variant(options={"MODEL.ACTIONNESS.LABEL_IOU": 0.2}, head="loose_labels"),
    "no_median": Variant(options={"SOLVER.ACTIONNESS.WINDOWS": (1,)}),
    "before_cooperation": Variant(options={"MODEL.ACTIONNESS.FEATURES": "stream"}, head="stream"),
    "segments": Variant(SegmentsTask, head="segments"),
    "segments_control": Variant(
        SegmentsTask, {"SOLVER.SEGMENTS.EXCHANGE": False}, head="segments_control"
    ),
}


def run_seed(folder: Path, train: str, test: str, options: Sequence[str] = ()) -> dict[str, Row]:
    """All rows of one seed; ``folder`` holds the detectors ``baseline`` and ``pcsc``.

    ``options`` are KEY, VALUE, ... on top of their configs.

    Raises:
        FileNotFoundError: a detector is not there.
        ValueError: a dataset is not registered.
    """
    work = folder / "refinement"
    check_registered([train, test])
    rows = {}
    if (folder / "baseline" / "model_final.pth").exists():
        cfg, model = load_detector(folder / "baseline", options)
        files = collect(cfg, model, test, work / "baseline_test", [])
        rows["baseline"] = Row(all_tubes([VideoSamples.load(f) for f in files]))
    cfg, model = load_detector(folder / "pcsc", options)
    precompute_flow(cfg, (train, test))
    kinds = (*FEATURES, BOTH)
    training = collect(cfg, model, train, work / "pcsc_train", kinds, Limit.of(cfg))
    testing = collect(cfg, model, test, work / "pcsc_test", kinds, keep_detections=True)
    samples = [VideoSamples.load(f) for f in testing]
    rows["pcsc"] = Row(all_tubes(samples))
    rows["temporal_labelling"] = Row(relink(cfg, testing))
    for name, variant in VARIANTS.items():
        if variant.same_as(cfg):
            continue
        task = variant.task(changed(cfg, variant.options))
        head, choice = train_head(task, training, train, work / variant.head)
        tubes = all_tubes(samples, task.predict(head, testing))
        refinement = Refinement.of(tubes, choice.options)
        rows[name] = Row(refinement.tubes, refinement)
    return rows


def train_head(
    task: Task, files: list[Path], dataset: str, folder: Path
) -> tuple[nn.Module, RefinementSearch]:
    """What a task trains and how it refines, from samples or as an earlier run left it."""
    seed_all_rng(task.cfg.SEED)
    head = task.new(_shape(files, task.kind))
    folder.mkdir(parents=True, exist_ok=True)
    actionness = fit_parts(task, head, files, folder)
    choice = choose(task, files, actionness, truth_of(dataset, files))
    return fit_once(task, head, files, folder, "head"), choice


def relink(cfg: CfgNode, files: Sequence[Path]) -> Tubes:
    """Tubes that the linker's own temporal labelling ends (Singh et al. 2017)."""
    options = replace(link_options(cfg), temporal_alpha=ALPHA)
    return join_videos([link(load_detections(path), options) for path in files])


def _shape(files: Sequence[Path], kind: str) -> ShapeSpec:
    """Channels, height and width of the features."""
    for path in files:
        if VideoSamples.load(path).found.any():
            channels, height, width = load_features(path, kind).shape[1:]
            return ShapeSpec(channels=channels, height=height, width=width)
    raise ValueError(f"{files[0].parent if files else 'nothing'}: no tube to learn from")


def _write_page(path: Path, title: str, refinement: Refinement, truth: GroundTruth) -> None:
    results = score(truth, None, refinement.tubes)
    curves = notable_curves(refinement, truth)
    with atomic_write(path, "w") as file:
        file.write(report_page(results, title, (), (refinement.summary(), curves)))


def compare(
    runs: Path, seeds: Sequence[int], train: str, test: str, options: Sequence[str] = ()
) -> str:
    """Train what is missing, refine, score, and write the tables into the folder of the runs.

    Args:
        runs: folder of ``seed<k>/<variant>``.
        seeds: of the runs.
        train: registered name of the training videos.
        test: registered name to score on.
        options: KEY, VALUE, ... on top of the configs.

    Returns:
        The tables.
    """
    setup_logger(name="pcsc_d2")
    rows: dict[str, list[Row]] = {}
    for seed in seeds:
        folder = runs / f"seed{seed}"
        found = run_seed(folder, train, test, options)
        truth = MetadataCatalog.get(test).load_ground_truth()
        title = f"{folder.name}, {test}"
        _write_page(folder / "refinement" / "page.html", title, found["refined"].refinement, truth)
        for name, row in found.items():
            rows.setdefault(name, []).append(row)
    return write_tables(rows, truth, runs, test)
