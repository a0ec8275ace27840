"""The trunks of a config with their weights, as they are where nothing trains them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

from pcsc_d2.engine.statistics import estimate_statistics
from pcsc_d2.layers import STREAMS
from pcsc_d2.layers.i3d import InceptionI3D
from pcsc_d2.layers.i3d_weights import fill_trunk, read_weights
from pcsc_d2.modeling import building
from pcsc_d2.modeling.stream import Stream

# What was loaded -> the digest of each stream's trunk: loading takes seconds.
_known: dict[str, dict[str, str]] = {}


def frozen_streams(cfg: CfgNode) -> dict[str, Stream]:
    """Both streams in evaluation mode, on the config's device, with what a run starts from.

    Raises:
        ValueError: the config names no weights for a trunk, or they do not fit.
    """
    for s in STREAMS:
        if not (cfg.MODEL.WEIGHTS or cfg.MODEL[s.upper()].WEIGHTS):
            raise ValueError(
                f"MODEL.{s.upper()}.WEIGHTS is empty: maps of a trunk with random weights are of "
                "no use; name its weights, such as kinetics"
            )
    with building():
        streams = {s: Stream(cfg, s) for s in STREAMS}
    if cfg.MODEL.WEIGHTS:
        weights = read_weights(cfg.MODEL.WEIGHTS)
        for s, stream in streams.items():
            prefix = f"{s}.backbone.bottom_up.trunk."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            fill_trunk(_trunk(stream), own, cfg.MODEL.WEIGHTS)
    streams = {s: stream.to(cfg.MODEL.DEVICE).eval() for s, stream in streams.items()}
    estimate_statistics(cfg, streams["flow"])
    return streams


def trunk_digests(cfg: CfgNode) -> dict[str, str]:
    """What tells the weights of each stream's trunk from others'; ValueError as above."""
    files = [cfg.MODEL.WEIGHTS, cfg.MODEL.RGB.WEIGHTS, cfg.MODEL.FLOW.WEIGHTS]
    stats = [Path(f).stat() for f in files if f and Path(f).is_file()]
    times = [(s.st_size, s.st_mtime_ns) for s in stats]
    key = repr((times, str(cfg.MODEL), str(cfg.INPUT), cfg.DATASETS.TRAIN))
    if key not in _known:
        _known[key] = {s: _digest(_trunk(x)) for s, x in frozen_streams(cfg).items()}
    return _known[key]


def check_trunks(cfg: CfgNode, model: nn.Module) -> None:
    """Look whether a model's trunks are those that made the cached maps; ValueError if not."""
    for s, digest in trunk_digests(cfg).items():
        if _digest(_trunk(getattr(model, s))) != digest:
            raise ValueError(
                f"the {s} trunk of this checkpoint is not the one that made the cached maps: name "
                "the checkpoint as MODEL.WEIGHTS, or say MODEL.I3D.FEATURES clips"
            )


def _trunk(stream: Stream) -> InceptionI3D:
    return stream.backbone.bottom_up.trunk


def _digest(trunk: InceptionI3D) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(trunk.state_dict().items()):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
