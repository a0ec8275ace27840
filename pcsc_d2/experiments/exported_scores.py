"""The scores of a model out of an exported file, by the evaluator that checkpoints have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import detector_postprocess
from detectron2.structures import Boxes, Instances
from detectron2.utils.logger import setup_logger
from torch import nn

from pcsc_d2.data import check_datasets, precompute_flow, register_custom_datasets
from pcsc_d2.engine.trainer import Trainer
from pcsc_d2.model_zoo import get_config
from pcsc_d2.models.exported import ExportedModel, load_exported
from pcsc_d2.models.info import ModelInfo


class _AsDetector(nn.Module):
    """An exported file's network with a Detectron2 model's inputs and outputs."""

    def __init__(self, model: ExportedModel) -> None:
        super().__init__()
        self._model = model

    @torch.inference_mode()
    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        """See ``TwoStreamRCNN.inference``; clips may be of several sizes."""
        return [{"instances": self._found(x)} for x in batched_inputs]

    def _found(self, x: dict) -> Instances:
        found_of_clip = self._model.network(x["rgb"][None], x["flow"][None])[0]
        boxes, scores, classes, actionness, *more = found_of_clip
        found = Instances(tuple(x["rgb"].shape[-2:]))
        found.pred_boxes, found.scores, found.pred_classes = Boxes(boxes), scores, classes
        if self._model.info.actionness:
            found.actionness = actionness
        if self._model.judge is not None:
            found.tube_features = self._model.features(scores, more)
        return detector_postprocess(found, x["height"], x["width"])


def exported_scores(
    file: Path, datasets: Sequence[str], out: Path, options: Sequence[object] = ()
) -> dict[str, dict]:
    """Evaluate an exported file on registered datasets, and write what evaluation writes.

    Args:
        file: a ``.pt`` or ``.onnx`` file of ``pcsc export``.
        datasets: names; their classes are the model's.
        out: a folder for each dataset goes to ``inference`` there.
        options: KEY, VALUE, ... of the config, such as of DATALOADER.

    Returns:
        The evaluator's scores, by dataset.

    Raises:
        ModelError, ValueError: no such model or dataset, or its classes are others.
    """
    model = load_exported(file, "cpu", None)
    cfg = evaluation_config(file, model.info, datasets, out, options)
    precompute_flow(cfg, datasets)
    scores = {}
    for name in datasets:
        loader = Trainer.build_test_loader(cfg, name)
        evaluator = Trainer.build_evaluator(cfg, name, model.judge)
        scores[name] = inference_on_dataset(_AsDetector(model), loader, evaluator)
    return scores


def evaluation_config(
    model: Path | str,
    info: ModelInfo,
    datasets: Sequence[str],
    out: Path,
    options: Sequence[object],
) -> CfgNode:
    """The config of an evaluation on datasets, which are registered and have the model's classes.

    Args:
        model: what it is called in errors.
        info: of the model.
        datasets, out, options: see ``exported_scores``.

    Raises:
        ValueError: no such dataset, or its classes are others.
    """
    cfg = _config(info, [*options, "OUTPUT_DIR", str(out), "DATASETS.TEST", tuple(datasets)])
    setup_logger(name="pcsc_d2")
    register_custom_datasets()
    check_datasets(cfg)
    for name in datasets:
        _check_labels(model, info.labels, name)
    return cfg


def _check_labels(model: Path | str, labels: Sequence[str], dataset: str) -> None:
    theirs = MetadataCatalog.get(dataset).get("thing_classes") or labels
    other = [(own, their) for own, their in zip(labels, theirs) if own != their]
    if other and not labels[0].startswith("class "):  # such labels are of a model without names
        raise ValueError(f"{model}: its '{other[0][0]}' is '{other[0][1]}' in {dataset}")


def _config(info: ModelInfo, options: Sequence[object]) -> CfgNode:
    """A config whose clips and tubes are as a model says."""
    said = {
        "MODEL.DEVICE": info.device,
        "MODEL.ROI_HEADS.NUM_CLASSES": len(info.labels),
        "MODEL.I3D.CONTEXT": info.context,
        "INPUT.CLIP_LENGTH": info.clip_length,
        "INPUT.MIN_SIZE_TEST": info.min_size,
        "INPUT.MAX_SIZE_TEST": info.max_size,
        "INPUT.FLOW.METHOD": info.flow_method,
        "INPUT.FLOW.BOUND": info.flow_bound,
        "TEST.TUBES.GAP": info.link.gap,
        "TEST.TUBES.MIN_LENGTH": info.link.min_length,
        "TEST.TUBES.INTERPOLATE": info.link.interpolate,
        "TEST.TUBES.TEMPORAL_LABELLING": info.link.temporal_alpha or 0.0,
        "TEST.TUBES.REFINE": info.refine is not None,
    }
    if info.refine is not None:
        said["TEST.TUBES.ACTIONNESS_THRESH"] = info.refine.threshold
        said["TEST.TUBES.ACTIONNESS_WINDOW"] = info.refine.window
    base = "Base-PCSC-I3D-FPN.yaml"
    return get_config(base, [*(x for pair in said.items() for x in pair), *options])
