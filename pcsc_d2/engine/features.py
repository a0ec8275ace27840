"""Training on frozen features: the maps of key frames are computed once and kept on disk.

They are shared by all runs that they fit: of the same trunks' weights, clips, size and flow.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import itertools
import json
import logging
import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.utils.data import SequentialSampler

from pcsc_d2.config import changed, uses_cached_features
from pcsc_d2.data import (
    ClipMapper,
    check_registered,
    evaluation_dicts,
    evaluation_loader,
    precompute_flow,
    register_custom_datasets,
    training_dicts,
)
from pcsc_d2.data.datasets import dataset_cache
from pcsc_d2.data.feature_mapper import FeatureMapper, feature_size
from pcsc_d2.data.feature_store import FeatureStore, fill
from pcsc_d2.data.loaders import Mapper
from pcsc_d2.engine.frozen_trunks import frozen_streams, trunk_digests
from pcsc_d2.layers.window_trunk import LEVELS, Sharing, WindowTrunk, trunk_parts
from pcsc_d2.model_zoo import get_config
from pcsc_d2.modeling.inference import engine_for, prepare_trunk
from pcsc_d2.modeling.stream import Stream
from pcsc_d2.parallel import wait_for_all
from pcsc_d2.utils.files import write_json
from pcsc_d2.utils.progress import Bar, progress_bar

logger = logging.getLogger(__name__)
# Clips that the trunks look at at once: on a CPU nearly twice as fast as one by one.
_BATCH = 5
# Key frames of a window that share the trunks' work: enough that its ends, which only one clip
# sees, are few beside them.
_WINDOW = 32
_SHARING = Sharing()


def make_features(args: argparse.Namespace) -> None:
    """``pcsc features``: compute what is missing of a config's datasets, or of those named.

    Args:
        args: of that command.
    """
    wanted = ["MODEL.I3D.FEATURES", "cached"]
    wanted += ["INPUT.FEATURES.EVALUATION", True] if args.datasets else []
    cfg = get_config(args.config_file, [*args.opts, *wanted])
    setup_logger(distributed_rank=comm.get_rank(), name="pcsc_d2")
    register_custom_datasets()
    names = args.datasets or (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    check_registered(names)
    precompute_flow(cfg, names)
    precompute_features(cfg, args.datasets or cfg.DATASETS.TEST, train=not args.datasets)


def build_mapper(cfg: CfgNode, is_train: bool) -> Mapper:
    """What makes model inputs of dataset dicts: of clips, or of cached maps."""
    if not looks_at_maps(cfg, is_train):
        return ClipMapper(cfg, is_train)
    size, flip = feature_size(cfg, is_train), _mirrors(cfg, is_train)
    return FeatureMapper(feature_stores(cfg, is_train), size, flip, is_train)


def precompute_features(cfg: CfgNode, test: Iterable[str] = (), train: bool = False) -> None:
    """Compute the maps that a config needs and that are not on disk; ranks share the work.

    Does nothing where the config has clips looked at.

    Args:
        test: names of datasets whose key frames are all needed.
        train: whether those of DATASETS.TRAIN that are trained on are needed.

    Raises:
        ValueError: the disk is too small, or the config cannot go with cached maps.
    """
    if train and looks_at_maps(cfg, True):
        _compute(cfg, True, training_dicts(cfg), ", ".join(cfg.DATASETS.TRAIN))
    for name in test:
        if looks_at_maps(cfg, False):
            precompute_maps(cfg, evaluation_dicts(cfg, name), name)


def precompute_maps(cfg: CfgNode, dicts: list[dict], name: str) -> None:
    """``precompute_features`` for some key frames of a dataset as evaluation sees them."""
    if looks_at_maps(cfg, False):
        _compute(cfg, False, dicts, name)


def feature_stores(cfg: CfgNode, is_train: bool) -> dict[str, FeatureStore]:
    """Each stream's maps of clips as training or evaluation sees them."""
    folder = cfg.INPUT.FEATURES.FOLDER
    root = dataset_cache("features") if folder == "auto" else Path(folder)
    stores = {}
    for s, digest in trunk_digests(cfg).items():
        about = _settings(cfg, s, is_train) | {"weights": digest}
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        store = FeatureStore(root / f"{about['source']}-{name}")
        if comm.is_main_process() and not (store.folder / "about.json").exists():
            write_json(store.folder / "about.json", about)
        stores[s] = store
    return stores


def looks_at_maps(cfg: CfgNode, is_train: bool) -> bool:
    """Whether training, or evaluation, looks at cached maps and not at clips."""
    return uses_cached_features(cfg) and (is_train or cfg.INPUT.FEATURES.EVALUATION)


def _mirrors(cfg: CfgNode, is_train: bool) -> bool:
    return is_train and cfg.INPUT.RANDOM_FLIP == "horizontal"


def _settings(cfg: CfgNode, stream: str, is_train: bool) -> dict[str, object]:
    """All that a stream's maps depend on, besides weights and videos."""
    node, i3d = cfg.MODEL[stream.upper()], cfg.MODEL.I3D
    pixels = cfg.MODEL.RGB if node.SOURCE == cfg.MODEL.RGB.SOURCE else node
    about = {
        "source": node.SOURCE,
        "clip_length": cfg.INPUT.CLIP_LENGTH,
        "size": feature_size(cfg, is_train),
        "levels": list(cfg.MODEL.FPN.IN_FEATURES),
        "time_pool": i3d.TIME_POOL,
        "context": i3d.CONTEXT,
        "pixels": [list(pixels.PIXEL_MEAN), list(pixels.PIXEL_STD)],
    }
    flow = cfg.INPUT.FLOW
    if node.SOURCE == "flow":
        about["flow"] = [flow.METHOD, flow.WEIGHTS, flow.BOUND]
    if _shares_work(cfg, is_train):
        about["dense"] = [_SHARING.parts(cfg.INPUT.CLIP_LENGTH, i3d.CONTEXT), _SHARING.step]
    return about


def _shares_work(cfg: CfgNode, is_train: bool) -> bool:
    """Whether neighbouring key frames share the trunks' work: not where a few of a video are
    looked at, which are far apart."""
    return cfg.INPUT.FEATURES.DENSE and not is_train and cfg.TEST.KEY_FRAMES == 0


class _Variant(NamedTuple):
    """Maps of a video that are to be computed."""

    stream: str
    mirrored: bool


def _compute(cfg: CfgNode, is_train: bool, dicts: list[dict], name: str) -> None:
    """Compute what is missing of some key frames, on every rank its share of the videos."""
    stores, mirrored = feature_stores(cfg, is_train), [False, True][: 1 + _mirrors(cfg, is_train)]
    videos: dict[str, list[dict]] = {}
    for d in dicts:
        videos.setdefault(d["file_name"], []).append(d)
    todo: dict[str, dict[Path, _Variant]] = {}
    for file_name, clips in list(videos.items())[comm.get_rank() :: comm.get_world_size()]:
        # By their files: two streams of RGB have the same maps.
        missing = {
            store.path(clips[0], m): _Variant(s, m)
            for s, store in stores.items()
            for m in mirrored
            if not store.holds(clips, m)
        }
        if missing:
            todo[file_name] = missing
    if todo:
        chosen = {file_name: videos[file_name] for file_name in todo}
        _Computation(cfg, is_train, stores).run(chosen, todo, name)
    wait_for_all()


class _Computation:
    """The trunks at work on clips as training or evaluation sees them."""

    def __init__(self, cfg: CfgNode, is_train: bool, stores: dict[str, FeatureStore]) -> None:
        shortest, longest = feature_size(cfg, is_train)
        sizes = {"INPUT.MIN_SIZE_TEST": shortest, "INPUT.MAX_SIZE_TEST": longest}
        self._cfg = changed(cfg, sizes)
        self._stores = stores
        self._streams = frozen_streams(cfg)
        trunks = {s: _fast(stream, cfg) for s, stream in self._streams.items()}
        self._in_windows = _shares_work(cfg, is_train)
        if self._in_windows:
            trunks = {s: _SharedTrunk(trunk, cfg.INPUT.CLIP_LENGTH) for s, trunk in trunks.items()}
        self._trunks = trunks

    def run(
        self, videos: dict[str, list[dict]], todo: dict[str, dict[Path, _Variant]], name: str
    ) -> None:
        """Compute and write the variants of each video, by its file."""
        self._check_disk(videos, todo)
        clips = list(itertools.chain.from_iterable(videos.values()))
        mapper = ClipMapper(self._cfg, is_train=False)
        # All of them: this rank has its own videos already.
        loader = evaluation_loader(self._cfg, clips, mapper, name, SequentialSampler(clips))
        inputs = itertools.chain.from_iterable(loader)
        show = comm.is_main_process()
        with progress_bar(len(clips), f"features of {name}", "key frame", show) as bar:
            for file_name, examples in itertools.groupby(inputs, lambda x: x["file_name"]):
                self._video(videos[file_name], todo[file_name].values(), examples, bar)

    @torch.inference_mode()
    def _video(
        self,
        clips: list[dict],
        variants: Iterable[_Variant],
        examples: Iterator[dict],
        bar: Bar,
    ) -> None:
        records, first = {}, 0
        with ExitStack() as files:
            for batch in self._batches(examples):
                for variant in variants:
                    maps = self._maps(variant, batch)
                    if variant not in records:
                        shapes = {level: tuple(x.shape[1:]) for level, x in maps.items()}
                        store = self._stores[variant.stream]
                        file = store.create(clips[0], variant.mirrored, len(clips), shapes)
                        records[variant] = files.enter_context(file)
                    fill(records[variant], [x["frame_index"] for x in batch], maps, first)
                first += len(batch)
                bar.update(len(batch))

    def _batches(self, examples: Iterator[dict]) -> Iterator[list[dict]]:
        """Clips of a video that the trunks look at at once, as clips or as a window."""
        size = _WINDOW if self._in_windows else _BATCH
        while batch := list(itertools.islice(examples, size)):
            if self._in_windows:
                yield from _together(batch, self._cfg.INPUT.CLIP_LENGTH)
            else:
                yield batch

    def _maps(self, variant: _Variant, batch: list[dict]) -> dict[str, torch.Tensor]:
        inputs = [_mirror(x) for x in batch] if variant.mirrored else batch
        stream, trunk = self._streams[variant.stream], self._trunks[variant.stream]
        if not self._in_windows:
            return trunk(stream.preprocess(inputs).tensor)
        window, starts = _window_of(inputs)
        return trunk(stream.preprocess([window]).tensor, starts)

    def _check_disk(
        self, videos: dict[str, list[dict]], todo: dict[str, dict[Path, _Variant]]
    ) -> None:
        """State how much will be written; ValueError if the disk has less."""
        needed = sum(
            len(videos[f]) * self._record_bytes(videos[f][0], variant.stream)
            for f, variants in todo.items()
            for variant in variants.values()
        )
        folder = next(iter(self._stores.values())).folder.parent
        what = f"maps of {sum(map(len, videos.values()))} key frames of {len(videos)} videos"
        size = f"{needed / 1e9:.2f} GB"
        logger.info("%s are computed and kept: %s in %s", what, size, folder)
        free = shutil.disk_usage(folder).free
        if needed * comm.get_world_size() > free:
            raise ValueError(
                f"{folder}: {what} take {size} and {free / 1e9:.2f} GB are free: name another "
                "INPUT.FEATURES.FOLDER, fewer INPUT.FEATURES.KEY_FRAMES, or "
                "INPUT.FEATURES.EVALUATION False"
            )

    def _record_bytes(self, clip: dict, stream: str) -> int:
        size = (self._cfg.INPUT.MIN_SIZE_TEST, self._cfg.INPUT.MAX_SIZE_TEST)
        sides = ResizeShortestEdge.get_output_shape(clip["height"], clip["width"], *size)
        backbone = self._streams[stream].backbone
        padded = [-(-side // backbone.size_divisibility) for side in sides]
        cells = math.prod(padded) * backbone.size_divisibility**2
        shapes = backbone.bottom_up.output_shape().values()
        return sum(2 * x.channels * cells // x.stride**2 for x in shapes)


def _fast(stream: Stream, cfg: CfgNode) -> nn.Module:
    """A copy of a stream's trunk for inference alone, on the engine that the config names."""
    bottom_up = copy.deepcopy(stream.backbone.bottom_up)
    name = cfg.INPUT.FEATURES.ENGINE
    # Float32 whatever TEST.PRECISION is: maps of every engine are the same ones on disk.
    engine = prepare_trunk(
        bottom_up.trunk, cfg.INPUT.CLIP_LENGTH, engine_for(cfg, name), required=name != "auto"
    )
    logger.info("the trunk of stream %s runs on %s", stream.name, engine)
    return bottom_up


class _SharedTrunk:
    """A stream's trunk over windows of frames; what it makes of each key frame's clip."""

    def __init__(self, bottom_up: nn.Module, clip_length: int) -> None:
        trunk = bottom_up.trunk
        self._shared = _SHARING.parts(clip_length, trunk.context)
        self._levels = list(bottom_up.output_shape())
        self._trunk = WindowTrunk(
            trunk_parts(trunk), clip_length, bottom_up.time_pool, trunk.context, _BATCH
        )

    def __call__(self, frames: torch.Tensor, starts: list[int]) -> dict[str, torch.Tensor]:
        maps = self._trunk.window(frames, starts, self._shared, _SHARING.step)
        return {level: x for level, x in zip(LEVELS, maps) if level in self._levels}


def _together(batch: list[dict], clip_length: int) -> Iterator[list[dict]]:
    """Neighbours whose clips meet, so that their frames are one window."""
    group = batch[:1]
    for before, after in pairwise(batch):
        if after["frame_index"] - before["frame_index"] > clip_length:
            yield group
            group = []
        group.append(after)
    yield group


def _window_of(clips: list[dict]) -> tuple[dict, list[int]]:
    """All frames of clips that meet as one example, and where in it each clip starts."""
    steps = [b["frame_index"] - a["frame_index"] for a, b in pairwise(clips)]
    frames = {
        kind: torch.cat([clips[0][kind], *(x[kind][:, -n:] for x, n in zip(clips[1:], steps))], 1)
        for kind in ("rgb", "flow")
    }
    return frames, [0, *itertools.accumulate(steps)]


def _mirror(example: dict) -> dict:
    sign = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    return {"rgb": example["rgb"].flip(-1), "flow": example["flow"].flip(-1) * sign}
