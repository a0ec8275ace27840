"""The LazyConfigs build what the YAML configs of the same names build, and train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

pytest.importorskip("detectron2")

import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.engine import SimpleTrainer
from detectron2.evaluation import inference_on_dataset
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from omegaconf import DictConfig
from torch import nn

from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.model_zoo import get_config, get_config_file, lazy_config_names
from tests.tiny import tiny_input

NAMES = ["jhmdb/baseline.py", "jhmdb/pcsc.py"]


def load(name: str) -> DictConfig:
    return LazyConfig.load(get_config_file(name))


def yaml_model(name: str, device: str) -> nn.Module:
    return build_model(get_config(name.replace(".py", ".yaml"), ["MODEL.DEVICE", device]))


def plain(value: object) -> object:
    """Numbers, words, lists and mappings of them, and what plain objects are made of."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(v) for v in value]
    if isinstance(value, (int, float, str, type(None))):
        return value
    if type(value).__module__.startswith(("detectron2.modeling", "pcsc_d2")):
        return plain(vars(value))
    return type(value).__name__


def settings(model: nn.Module) -> dict[str, object]:
    """Of every module what it keeps beside parameters and other modules."""
    return {
        f"{name}.{key}": plain(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if not key.startswith("_") and not isinstance(value, nn.Module)
    }


def test_there_are_lazy_configs() -> None:
    assert set(NAMES) <= set(lazy_config_names())
    with pytest.raises(ValueError, match=r"pcsc\.py: is a LazyConfig"):
        get_config("jhmdb/pcsc.py")


@pytest.mark.parametrize("name", lazy_config_names())
def test_same_modules_and_settings(name: str) -> None:
    expected = yaml_model(name, "meta")
    with torch.device("meta"):
        found = instantiate(load(name).model)
    assert {k: v.shape for k, v in found.state_dict().items()} == {
        k: v.shape for k, v in expected.state_dict().items()
    }
    assert settings(found) == settings(expected)


def test_same_weights_give_the_same_output() -> None:
    expected, found = yaml_model(NAMES[1], "cpu").eval(), instantiate(load(NAMES[1]).model).eval()
    for message in expected.roi_heads.roi_messages:
        nn.init.normal_(message.restore.weight, std=0.1)
    found.load_state_dict(expected.state_dict())
    inputs = [tiny_input()]
    with torch.no_grad():
        ours, theirs = (model(inputs)[0]["instances"] for model in (found, expected))
    assert len(ours) == len(theirs) > 0
    assert torch.equal(ours.pred_boxes.tensor, theirs.pred_boxes.tensor)
    assert torch.equal(ours.scores, theirs.scores)


def small(folder: Path) -> DictConfig:
    """PCSC on generated clips, at a size that a test can train."""
    cfg = load(NAMES[1])
    cfg.model.roi_heads.num_classes = 4
    for stream in (cfg.model.rgb, cfg.model.flow):
        trunk = stream.backbone.bottom_up.trunk
        trunk.width, trunk.norm = 0.0625, "GN"
    for level, shape in instantiate(cfg.model.rgb.backbone.bottom_up).output_shape().items():
        cfg.model.image_messages.modules[level].channels = shape.channels
    heads = cfg.model.roi_heads
    for head in (heads.stage0_heads.rgb, heads.stage0_heads.flow, *heads.stage_heads):
        head.box_head.fc_dims = [16]
        head.predictor.input_shape = ShapeSpec(channels=16)
    cfg.model.warmup_iters = 1
    data = cfg.dataloader
    data.train.dataset.names = ["synthetic_easy_train"]
    data.test.dataset.names = "synthetic_easy_test"
    for loader in (data.train, data.test):
        loader.num_workers, loader.mapper.clip_length = 0, 8
        loader.mapper.augmentations[0].short_edge_length = [48]
    data.evaluator.output_dir = str(folder)
    return cfg


def test_trains_and_evaluates_as_lazy_configs_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(
        tmp_path, "easy", {"train": 2, "test": 1}, size=(48, 64), length=(16, 16), progress=False
    )
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.delenv("PCSC_CACHE", raising=False)
    cfg = small(tmp_path / "out")
    model = instantiate(cfg.model)
    cfg.optimizer.params.model = model
    trainer = SimpleTrainer(model, instantiate(cfg.dataloader.train), instantiate(cfg.optimizer))
    assert instantiate(cfg.lr_multiplier)(0.9) == pytest.approx(0.01)
    before = model.roi_heads.stage_heads[0].predictor.cls_score.weight.clone()
    trainer.train(0, 2)
    assert not torch.equal(before, model.roi_heads.stage_heads[0].predictor.cls_score.weight)
    test, evaluator = (instantiate(cfg.dataloader[part]) for part in ("test", "evaluator"))
    results = inference_on_dataset(model, test, evaluator)
    assert {"frame", "video"} <= set(results)
    assert (tmp_path / "out" / "results.json").is_file()
