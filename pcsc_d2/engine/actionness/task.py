"""What is trained after the detector to say which boxes of its tubes show the action, and fits that
are kept: of actionness, and of temporal cooperation (``engine/segments``)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from pcsc_d2.utils.weights import DamagedError, load_tensors, save_tensors

logger = logging.getLogger(__name__)


class Task(Protocol):
    """A kind of network that learns from collected samples (``VideoSamples``).

    Attributes:
        name: of the folder for its work in OUTPUT_DIR.
        cfg: of the model that has the network.
        kind: of the features that it looks at.
        windows: of the median filter, to choose from.
    """

    name: ClassVar[str]
    cfg: CfgNode

    @staticmethod
    def turned_on(cfg: CfgNode) -> CfgNode:
        """The config of a detector whose model has the network."""
        ...

    @property
    def kind(self) -> str: ...

    @property
    def windows(self) -> tuple[int, ...]: ...

    def new(self, shape: ShapeSpec) -> nn.Module:
        """A fresh network for features of a shape."""
        ...

    def network(self, model: nn.Module) -> nn.Module:
        """The network in a model; its state has ``threshold`` and ``window``."""
        ...

    def settings(self) -> object:
        """All of the config that a fit depends on, besides the seed."""
        ...

    def fit(self, network: nn.Module, files: Sequence[Path], state: Path) -> None:
        """Train a fresh network in place; ``state`` is what an interrupted fit goes on from."""
        ...

    def predict(self, network: nn.Module, files: Sequence[Path]) -> list[np.ndarray]:
        """What it says (M,) in [0, 1] of the boxes of each video's tubes, filled ones included."""
        ...


def fit_once(
    task: Task, network: nn.Module, files: Sequence[Path], folder: Path, name: str
) -> nn.Module:
    """``task.fit`` on the samples of files, or the network as an earlier call with the same config
    and files left it in ``folder/<name>.pth``; an interrupted call resumes."""
    key = _fit_key(task, files)
    done, state = folder / f"{name}.pth", folder / f"{name}_{key[:12]}.pth"
    if done.exists():
        found = _kept(done)
        if found.get("made_by") == key:
            network.load_state_dict(found["head"])
            return network.eval()
    task.fit(network, files, state)
    save_tensors(done, {"head": network.state_dict(), "made_by": key})
    state.unlink(missing_ok=True)
    return network.eval()


def resumed(state: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The epoch to go on with, network and optimizer as they were before it."""
    found = {} if state is None or not state.exists() else _kept(state)
    if not found:
        return 0
    network.load_state_dict(found["head"])
    optimizer.load_state_dict(found["optimizer"])
    return found["epochs"]


def keep(
    state: Path | None, epochs: int, network: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Leave for ``resumed`` what so many epochs made; nothing without a file."""
    if state is not None:
        content = {"head": network.state_dict(), "optimizer": optimizer.state_dict()}
        save_tensors(state, content | {"epochs": epochs})


def _kept(path: Path) -> dict:
    """What an earlier fit left in a file; empty where the file is damaged, which is said."""
    try:
        return load_tensors(path)
    except DamagedError as error:
        logger.warning("%s; fitting again", error)
        return {}


def _fit_key(task: Task, files: Sequence[Path]) -> str:
    """What a fit depends on: not what is chosen from later."""
    samples = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    parts = (task.settings(), task.cfg.SEED, samples)
    return hashlib.sha256(str(parts).encode()).hexdigest()
