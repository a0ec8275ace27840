"""The paper's Table 6: video mAP with and without temporal refinement, over several seeds.

``pcsc experiments refinement`` takes detectors that are trained (``<runs>/seed<k>/baseline`` and
``<runs>/seed<k>/pcsc``, as ``pcsc experiments stages`` leaves them), trains actionness heads on
their tubes over the training videos, refines the tubes of the test videos and prints the table.
What each step leaves in ``<runs>/seed<k>/refinement`` is kept, and an interrupted run goes on from
there; the tables go to ``<runs>/refinement.md`` and ``.json``, curves of actionness to
``<runs>/seed<k>/refinement/page.html``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from torch import nn

from pcsc_d2.data import precompute_flow
from pcsc_d2.data.custom import check_registered
from pcsc_d2.engine.actionness.choose import choose, fit_parts
from pcsc_d2.engine.actionness.collect import Limit, collect, truth_of
from pcsc_d2.engine.actionness.fit import fit_once, predict_videos, sample_store
from pcsc_d2.engine.actionness.samples import (
    VideoSamples,
    all_tubes,
    join_videos,
    load_detections,
    load_features,
)
from pcsc_d2.evaluation import link_options
from pcsc_d2.experiments.refinement_tables import Scored, write_tables
from pcsc_d2.experiments.runs import load_detector
from pcsc_d2.modeling import build_actionness_head
from pcsc_d2.modeling.actionness_head import FEATURES
from pcsc_d2.tubes import (
    GroundTruth,
    Refinement,
    RefinementSearch,
    Tubes,
    link,
    refinement_stats,
    video_map,
)
from pcsc_d2.tubes.report.actionness_curves import notable_curves
from pcsc_d2.tubes.report.page import report_page
from pcsc_d2.tubes.scoring.results import score
from pcsc_d2.utils.files import atomic_write

# Singh et al. 2017.
ALPHA = 3.0


@dataclass(frozen=True)
class Variant:
    """A way to refine the tubes of PCSC: options of the head, and the windows to choose from."""

    options: tuple = ()
    windows: tuple[int, ...] | None = None
    # Variants of one head share its fits.
    head: str = "class_specific"


VARIANTS = {
    "refined": Variant(),
    "general": Variant(("MODEL.ACTIONNESS.CLASS_SPECIFIC", False), head="general"),
    "no_median": Variant(windows=(1,)),
    "before_cooperation": Variant(("MODEL.ACTIONNESS.FEATURES", "stream"), head="stream"),
}


def run_seed(folder: Path, train: str, test: str, options: Sequence[str] = ()) -> dict[str, Scored]:
    """All rows of one seed; ``folder`` holds the detectors ``baseline`` and ``pcsc``.

    ``options`` are KEY, VALUE, ... on top of their configs.

    Raises:
        FileNotFoundError: a detector is not there.
        ValueError: a dataset is not registered.
    """
    work = folder / "refinement"
    check_registered([train, test])
    truth = MetadataCatalog.get(test).load_ground_truth()
    rows = {}
    if (folder / "baseline" / "model_final.pth").exists():
        cfg, model = load_detector(folder / "baseline", options)
        files = collect(cfg, model, test, work / "baseline_test", [])
        rows["baseline"] = _scored(all_tubes([VideoSamples.load(f) for f in files]), truth)
    cfg, model = load_detector(folder / "pcsc", options)
    precompute_flow(cfg, (train, test))
    training = collect(cfg, model, train, work / "pcsc_train", FEATURES, Limit.of(cfg))
    testing = collect(cfg, model, test, work / "pcsc_test", FEATURES, keep_detections=True)
    rows["pcsc"] = _scored(all_tubes([VideoSamples.load(f) for f in testing]), truth)
    rows["temporal_labelling"] = _scored(relink(cfg, testing), truth)
    for name, variant in VARIANTS.items():
        head, choice = train_head(cfg, variant, training, train, work / variant.head)
        tubes = all_tubes(*_with_actionness(_config(cfg, variant), head, testing))
        refinement = Refinement.of(tubes, choice.options)
        rows[name] = _scored(refinement.tubes, truth, refinement)
        if name == "refined":
            _write_page(work / "page.html", f"{folder.name}, {test}", refinement, truth)
    return rows


def train_head(
    cfg: CfgNode, variant: Variant, files: list[Path], dataset: str, folder: Path
) -> tuple[nn.Module, RefinementSearch]:
    """The head of a variant and how it refines, from samples or as an earlier run left it."""
    cfg = _config(cfg, variant)
    kind = cfg.MODEL.ACTIONNESS.FEATURES
    channels, height, width = _shape(files, kind)
    shape = ShapeSpec(channels=channels, height=height, width=width)
    seed_all_rng(cfg.SEED)
    head = build_actionness_head(cfg, shape)
    folder.mkdir(parents=True, exist_ok=True)
    actionness = fit_parts(cfg, head, files, folder)
    choice = choose(cfg, files, actionness, truth_of(dataset, files))
    return fit_once(cfg, head, files, folder, "head"), choice


def relink(cfg: CfgNode, files: Sequence[Path]) -> Tubes:
    """Tubes that the linker's own temporal labelling ends (Singh et al. 2017)."""
    options = replace(link_options(cfg), temporal_alpha=ALPHA)
    return join_videos([link(load_detections(path), options) for path in files])


def _config(cfg: CfgNode, variant: Variant) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(list(variant.options))
    if variant.windows is not None:
        cfg.SOLVER.ACTIONNESS.WINDOWS = variant.windows
    return cfg


def _shape(files: Sequence[Path], kind: str) -> tuple[int, int, int]:
    """Channels, height and width of the features."""
    for path in files:
        if VideoSamples.load(path).found.any():
            return load_features(path, kind).shape[1:]
    raise ValueError(f"{files[0].parent if files else 'nothing'}: no tube to learn from")


def _with_actionness(
    cfg: CfgNode, head: nn.Module, files: Sequence[Path]
) -> tuple[list[VideoSamples], list[np.ndarray]]:
    store = sample_store(cfg, files)
    return store.samples, predict_videos(head, store)


def _scored(tubes: Tubes, truth: GroundTruth, refinement: Refinement | None = None) -> Scored:
    scores = video_map(tubes, truth)
    video = {f"{iou:g}": scores[iou].mean for iou in (0.2, 0.5, 0.75)}
    video["0.5:0.95"] = scores.average
    return Scored(video, None if refinement is None else refinement_stats(refinement, truth))


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
    rows: dict[str, list[Scored]] = {}
    for seed in seeds:
        for name, scored in run_seed(runs / f"seed{seed}", train, test, options).items():
            rows.setdefault(name, []).append(scored)
    return write_tables(rows, runs, test)
