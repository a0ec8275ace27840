"""What settings of the recipe do to frame mAP, one changed at a time, over some seeds.

    python tests/benchmarks/recipe.py --out OUT [--seeds 1 2] [--rows ROW ...] [-- KEY VALUE ...]

Short runs on cached maps of a frozen trunk: trained on jhmdb_split1_fit, scored on the middle key
frame of each video of jhmdb_split1_val, which is cut from the training clips by film. Rows are

- of stage 0, both streams by themselves: RPN labels, the canonical size, box heads;
- with two stages from the first iteration: a score cut on what they learn from, and none;
- with two stages that go on from the seed's stage 0: how many boxes they sample, what their losses
  weigh.

A run is one JSON file, OUT/<row>-<seed>.json, and one that is there is kept. Prints tables in
Markdown, and how large the heads are in the paper's setting. The maps are made by

    pcsc features --config-file jhmdb/pcsc_rgb_frozen.yaml INPUT.RANDOM_FLIP none \
        INPUT.FEATURES.EVALUATION True TEST.KEY_FRAMES 1 \
        DATASETS.TRAIN "('jhmdb_split1_fit',)" DATASETS.TEST "('jhmdb_split1_val',)"
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from torch import nn
from torchvision.ops import batched_nms

from pcsc_d2.data import evaluated_truth
from pcsc_d2.engine import Trainer
from pcsc_d2.experiments.tables import markdown
from pcsc_d2.model_zoo import get_config
from pcsc_d2.tubes import Detections, frame_map
from pcsc_d2.utils.files import write_json

COMMON = {
    "DATASETS.TRAIN": ("jhmdb_split1_fit",),
    "DATASETS.TEST": ("jhmdb_split1_val",),
    "INPUT.RANDOM_FLIP": "none",
    "INPUT.FEATURES.EVALUATION": True,
    "TEST.KEY_FRAMES": 1,
    # Half of frozen.yaml's: a run takes a minute.
    "MODEL.FPN.OUT_CHANNELS": 64,
    "MODEL.COOPERATION.WARMUP_ITERS": 0,
    "MODEL.COOPERATION.NUM_STAGES": 2,
    "SOLVER.WARMUP_ITERS": 20,
    "SOLVER.CHECKPOINT_PERIOD": 10**6,
    "VIS_PERIOD": 0,
}
# What rows change, so that tables stay what they are when the configs change.
USUAL = {
    "MODEL.RPN.IOU_THRESHOLDS": [0.3, 0.5],
    "MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE": 64,
    "MODEL.ROI_BOX_HEAD.NAME": "ConvFCMeanHead",
    "MODEL.ROI_BOX_HEAD.FC_DIM": 256,
    "MODEL.COOPERATION.TOPK_TRAIN": 20,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 32,
}
STAGE_0 = {"MODEL.COOPERATION.NUM_STAGES": 0, "MODEL.COOPERATION.IMAGE_MESSAGES": False}
SCORES = {
    ("frame", "0.5"): "frame mAP@0.5",
    ("frame", "0.5:0.95"): "@0.5:0.95",
    ("actors", "0.5"): "boxes alone, AP@0.5",
    ("actors", "0.75"): "@0.75",
}
ACTOR = ("actor",)
REFERENCE = "stage0"


@dataclass(frozen=True)
class Row:
    """A setting.

    Attributes:
        group: the table that it is in, a key of ``GROUPS``.
        title: in the table.
        options: KEY: VALUE, on top of the config.
        head: the same, of ``MODEL.ROI_BOX_HEAD``.
        weights: of the losses of stages 0, 1, ...
    """

    group: str
    title: str
    options: dict[str, Any]
    head: dict[str, Any] | None = None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Group:
    """Rows that are trained alike: for so many iterations, with these options."""

    title: str
    iterations: int
    options: dict[str, Any]
    goes_on: bool = False


GROUPS = {
    "stage 0": Group("stage 0 alone", 160, STAGE_0),
    "first": Group("two stages from the first iteration", 120, {}),
    "later": Group("two stages that go on from stage 0", 60, {}, goes_on=True),
}


def _rows() -> dict[str, Row]:
    stages, heads = "MODEL.COOPERATION.", "MODEL.ROI_HEADS."
    rows = {REFERENCE: Row("stage 0", "labels 0.3, 0.5; size 64; FC 256 x 2 and the mean", {})}
    for low, high in ((0.3, 0.7), (0.5, 0.5)):
        options = {"MODEL.RPN.IOU_THRESHOLDS": [low, high]}
        rows[f"labels_{low}_{high}"] = Row("stage 0", f"RPN labels {low}, {high}", options)
    for side in (224, 112):
        options = {"MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE": side}
        rows[f"size_{side}"] = Row("stage 0", f"canonical size {side}", options)
    for cut, title in ((0.05, "score cut of 0.05 in training"), (-1.0, "the best 20 always")):
        rows[f"cut_{cut:g}"] = Row("first", title, {f"{stages}SCORE_THRESH_TRAIN": cut})
    for best, sampled, nms in ((20, 32, True), (20, 512, True), (256, 512, False)):
        options = {
            f"{stages}TOPK_TRAIN": best,
            f"{stages}NMS_IN_TRAINING": nms,
            f"{heads}BATCH_SIZE_PER_IMAGE": sampled,
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": 200 if nms else 600,
            "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 300 if nms else 1000,
        }
        title = f"{sampled} of the best {best} boxes of either stream"
        rows[f"sampled_{sampled}_of_{best}"] = Row("later", title, options)
    options = {f"{stages}SCORE_THRESH_TRAIN": 0.05}
    rows["later_cut_0.05"] = Row("later", "32 of the best 20, with a score cut of 0.05", options)
    # Cascade R-CNN's way of letting what stages share learn from the first ones above all.
    title = "32 of the best 20, losses of the stages times 1, 1/2 and 1/4"
    rows["loss_weights"] = Row("later", title, {}, weights=(1.0, 0.5, 0.25))
    for name, title in (("fc_256", "FC 256 x 2"), ("fc_1024", "FC 1024 x 2")):
        head = {"NAME": "FastRCNNConvFCHead", "FC_DIM": int(name[3:])}
        rows[f"head_{name}"] = Row("stage 0", title, {}, head)
    head = {"NAME": "FastRCNNConvFCHead", "NUM_CONV": 4, "NUM_FC": 1, "FC_DIM": 256}
    return rows | {"head_4conv1fc": Row("stage 0", "4 conv, FC 256", {}, head)}


ROWS = _rows()


def config(args: argparse.Namespace, name: str, seed: int) -> CfgNode:
    """The config of a run."""
    row = ROWS[name]
    group = GROUPS[row.group]
    wanted = COMMON | USUAL | group.options | {"SEED": seed}
    wanted |= {"OUTPUT_DIR": str(args.out / f"{name}-{seed}")}
    if group.goes_on:
        wanted["MODEL.WEIGHTS"] = str(_weights(args.out, REFERENCE, seed))
    options = [x for pair in wanted.items() for x in pair]
    cfg = get_config(args.config_file, [*options, *args.opts])
    cfg.merge_from_list([x for pair in row.options.items() for x in pair])
    cfg.SOLVER.MAX_ITER = max(1, round(group.iterations * args.share))
    return with_head(cfg, row.head or {})


def with_head(cfg: CfgNode, head: dict[str, Any]) -> CfgNode:
    """The config with another box head, whose convolutions are as wide as the pyramid."""
    for key, value in head.items():
        cfg.MODEL.ROI_BOX_HEAD[key] = value
    cfg.MODEL.ROI_BOX_HEAD.CONV_DIM = cfg.MODEL.FPN.OUT_CHANNELS
    return cfg


def run(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Train and score one row with one seed, unless that is done."""
    file = args.out / f"{name}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text())
    cfg, start = config(args, name, seed), time.process_time()
    if GROUPS[ROWS[name].group].goes_on:
        run(args, REFERENCE, seed)
    seed_all_rng(seed)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    if weights := ROWS[name].weights:
        trainer.model.register_forward_hook(partial(weighted, weights))
    trainer.train()
    folder = Path(cfg.OUTPUT_DIR)
    inference = folder / "inference" / cfg.DATASETS.TEST[0]
    content = {
        "frame": json.loads((inference / "results.json").read_text())["frame"],
        "actors": actor_scores(cfg, inference / "detections.npz"),
        "iterations": cfg.SOLVER.MAX_ITER,
        "CPU seconds": time.process_time() - start,
    }
    write_json(file, content)
    if name != REFERENCE:
        shutil.rmtree(folder)
    print(name, seed, content, flush=True)
    return content


def weighted(weights: Sequence[float], model: nn.Module, inputs: Any, output: Any) -> Any:
    """A forward hook that lets losses of stages weigh differently."""
    if not model.training:
        return output
    stages = {f"_stage{t}_": weight for t, weight in enumerate(weights)}
    of = {k: next((w for stage, w in stages.items() if stage in k), 1.0) for k in output}
    return {k: loss * of[k] for k, loss in output.items()}


def actor_scores(cfg: CfgNode, file: Path) -> dict[str, float]:
    """AP in percent of the boxes whatever their class, as NMS leaves them: what short runs learn
    first."""
    name, found = cfg.DATASETS.TEST[0], Detections.load(file)
    truth = evaluated_truth(cfg, name)
    tubes = replace(truth.tubes, labels=ACTOR, classes=np.zeros_like(truth.tubes.classes))
    rows = found.frame_rows
    boxes, scores = torch.from_numpy(found.boxes), torch.from_numpy(found.scores)
    kept = batched_nms(boxes, scores, torch.from_numpy(rows), 0.5).numpy()
    video = np.searchsorted(found.video_ptr, rows, side="right") - 1
    frame = rows - found.video_ptr[video] + 1
    columns = [x[kept] for x in (video, frame, found.boxes, found.scores)]
    actors = Detections.from_arrays(
        found.videos, ACTOR, found.nframes, *columns, np.zeros(len(kept), np.int64)
    )
    truth = replace(truth, labels=ACTOR, tubes=tubes)
    return {f"{iou:g}": frame_map(actors, truth, iou).mean for iou in (0.5, 0.75)}


def _weights(out: Path, name: str, seed: int) -> Path:
    return out / f"{name}-{seed}" / "model_final.pth"


def paper_size(head: dict[str, Any]) -> tuple[float, float]:
    """Millions of parameters of all heads in the paper's setting, and gigabytes of a checkpoint
    with the momentum of what is trained."""
    cfg = get_config("jhmdb/pcsc.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(with_head(cfg, head))
    heads = [model.roi_heads.stage0_heads, model.roi_heads.stage_heads]
    number = sum(p.numel() for part in heads for p in part.parameters())
    every = [*model.parameters(), *model.buffers()]
    values = sum(x.numel() for x in every) + sum(p.numel() for p in every if p.requires_grad)
    return number / 1e6, 4 * values / 1e9


def table(group: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """A group's rows, with the mean and each seed of every score."""
    rows = []
    for name, of in results.items():
        if ROWS[name].group == group:
            cells = [_cell([x[kind][iou] for x in of]) for kind, iou in SCORES]
            seconds = np.mean([x["CPU seconds"] for x in of])
            rows.append([ROWS[name].title, *cells, f"{seconds:.0f}"])
    headings = [GROUPS[group].title, *SCORES.values(), "CPU s"]
    return markdown(rows, headings) if rows else ""


def _cell(values: list[float]) -> str:
    each = ", ".join(f"{x:.1f}" for x in values)
    return f"**{np.mean(values):.1f}** ({each})"


def heads_table() -> str:
    """The heads' sizes in the paper's setting."""
    mean = {"NAME": "ConvFCMeanHead", "FC_DIM": 256}
    named = {"FC 256 x 2 and the mean": mean}
    named |= {row.title: row.head for row in ROWS.values() if row.head}
    rows = [[title, *(f"{x:.2f}" for x in paper_size(head))] for title, head in named.items()]
    return markdown(rows, ["box head, full width", "six heads, M", "checkpoint, GB"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--share", type=float, default=1.0, help="of each run's iterations")
    parser.add_argument("--config-file", default="jhmdb/pcsc_rgb_frozen.yaml")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="for all rows, after --")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: [run(args, name, seed) for seed in args.seeds] for name in args.rows}
    print("\n\n".join([*filter(None, (table(group, results) for group in GROUPS)), heads_table()]))


if __name__ == "__main__":
    main()
