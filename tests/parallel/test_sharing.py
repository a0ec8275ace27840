"""Batches that ranks share, and losses that are those of the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.utils import comm
from torch import nn

from pcsc_d2.parallel import batch_of_rank, boxes_share, shared_buffers
from tests.ranks import on_ranks

BOXES = (2, 0, 6)


def test_batches_are_shared_evenly_or_refused() -> None:
    assert [batch_of_rank(6, ranks) for ranks in (1, 2, 3)] == [6, 3, 2]
    with pytest.raises(ValueError, match="3 cannot be shared by 2 processes: set it to 2 or 4"):
        batch_of_rank(3, 2)
    with pytest.raises(ValueError, match="set it to 4 or 8"):
        batch_of_rank(1, 4)


def weighted_mean() -> tuple[float, float]:
    """The mean of this rank's boxes, as it counts; the running mean after the first rank's is
    everybody's."""
    values = torch.arange(float(BOXES[comm.get_rank()])) + comm.get_rank()
    share = boxes_share(len(values), values.device)
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(comm.get_rank() + 5.0)
    shared_buffers(norm)
    return float(values.sum() / max(len(values), 1) * share), norm.running_mean.item()


def test_means_of_ranks_are_those_of_the_batch(tmp_path: Path) -> None:
    found = on_ranks(weighted_mean, 3, tmp_path)
    values = [i + rank for rank, boxes in enumerate(BOXES) for i in range(boxes)]
    assert sum(mean for mean, _ in found) / 3 == pytest.approx(sum(values) / len(values))
    assert {running for _, running in found} == {5.0}
    assert boxes_share(4, torch.device("cpu")) == 1.0
