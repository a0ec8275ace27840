"""Fitting late fusions and temperatures to what heads said; either is a convex problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from pcsc_d2.modeling.fusion import LearnedFusion
from pcsc_d2.modeling.fusion.same_boxes import average_loss

_ITERATIONS = 200
# Steps that leave two thirds of an interval each: to 1e-5 of it.
_THIRDS = 28
# What a temperature is looked for between.
COLDEST, HOTTEST = 0.05, 20.0


class Fit(NamedTuple):
    """Mean cross entropy on what was fitted to.

    Attributes:
        before: of what stands in its place: the average, or temperature 1.
        after: of what was fitted.
    """

    before: float
    after: float


def fit_fusion(
    fusion: LearnedFusion,
    rgb: torch.Tensor,
    flow: torch.Tensor,
    classes: torch.Tensor,
    ridge: float = 0.0,
) -> Fit:
    """Minimise the cross entropy of a fusion, in place, from where it stands.

    Its ``gain`` says by how much it is better than the average afterwards; where it is not, the
    fusion goes on answering as the average does.

    Args:
        rgb, flow: logits (R, K + 1) of the same boxes.
        classes: (R,) int64, K for background.
        ridge: weight of the squared distance from the start.
    """
    parameters = list(fusion.parameters())
    start = [p.detach().clone() for p in parameters]

    def loss() -> torch.Tensor:
        moved = sum(((p - s) ** 2).sum() for p, s in zip(parameters, start))
        return F.cross_entropy(fusion.logits(rgb, flow), classes) + ridge * moved

    _minimise(parameters, loss)
    with torch.no_grad():
        before = average_loss(rgb, flow, classes)
        after = F.cross_entropy(fusion.logits(rgb, flow), classes)
    fusion.gain.copy_(before - after)
    return Fit(before.item(), after.item())


def fit_temperature(logits: torch.Tensor, classes: torch.Tensor) -> tuple[float, Fit]:
    """The temperature by which logits (R, K + 1) are to be divided, and what that gains.

    Args:
        classes: (R,) int64, K for background.
    """

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits * math.exp(-log_temperature), classes).item()

    # It has one minimum, as it is convex in 1 / temperature.
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(_THIRDS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    best = min((math.log(COLDEST), 0.0, (low + high) / 2, math.log(HOTTEST)), key=loss)
    return math.exp(best), Fit(loss(0.0), loss(best))


def _minimise(parameters: Sequence[torch.Tensor], loss: Callable[[], torch.Tensor]) -> None:
    """By L-BFGS; the parameters end where the loss was lowest, be it at the start."""
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_ITERATIONS, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )
    with torch.no_grad():
        lowest, best = loss(), [p.clone() for p in parameters]

    def closure() -> torch.Tensor:
        nonlocal lowest, best
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if value.detach() < lowest:
            lowest, best = value.detach(), [p.detach().clone() for p in parameters]
        return value

    optimizer.step(closure)
    with torch.no_grad():
        for parameter, value in zip(parameters, best):
            parameter.copy_(value)
