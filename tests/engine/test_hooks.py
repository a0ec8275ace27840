"""The random state of an iteration."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from pcsc_d2.engine import SeedEachIteration


def draws(seed: int, iteration: int) -> tuple[float, float]:
    hook = SeedEachIteration(seed)
    hook.trainer = SimpleNamespace(iter=iteration)
    hook.before_step()
    return torch.rand(()).item(), np.random.uniform()


def test_random_state_is_that_of_the_iteration() -> None:
    assert draws(1, 7) == draws(1, 7)
    assert len({draws(seed, iteration) for seed in (1, 2) for iteration in (7, 8)}) == 4
