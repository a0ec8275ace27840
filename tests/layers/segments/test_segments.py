"""Segments by hand, and the stage loop in time on tubes whose boundaries are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pcsc_d2.layers.segments import (
    SegmentCooperation,
    SegmentSizes,
    keep_best,
    pool_segments,
    runs_over,
    segment_iou,
    tube_actionness,
)
from pcsc_d2.layers.segments.cooperation import Found
from pcsc_d2.tubes import Tubes


def test_overlap() -> None:
    first = torch.tensor([[0.0, 10.0], [5.0, 6.0]])
    second = torch.tensor([[5.0, 15.0], [20.0, 30.0]])
    assert segment_iou(first, second).flatten().tolist() == pytest.approx([5 / 15, 0, 1 / 10, 0])


def test_suppression_keeps_the_best() -> None:
    segments = torch.tensor([[0.0, 10.0], [0.0, 9.0], [0.0, 5.0], [20.0, 30.0]])
    scores = torch.tensor([0.1, 0.9, 0.5, 0.3])
    assert keep_best(segments, scores, 0.7, 10).tolist() == [1, 2, 3]
    assert keep_best(segments, scores, 0.5, 10).tolist() == [1, 3]
    assert keep_best(segments, scores, 0.7, 2).tolist() == [1, 2]


def test_runs_over_thresholds() -> None:
    scores = torch.tensor([0.9, 0.9, 0.1, 0.4, 0.9, 0.9, 0.4])
    assert runs_over(scores, (0.5,), 1).tolist() == [[0, 2], [4, 6]]
    assert runs_over(scores, (0.3, 0.5), 2).tolist() == [[0, 2], [3, 7], [4, 6]]
    assert runs_over(scores, (0.95,), 1).shape == (0, 2)


def test_pooling_by_hand() -> None:
    features = torch.arange(10.0)[None]
    # Frames 2 to 5: their middles at 2, 3, 4, 5 without context.
    pooled = pool_segments(features, torch.tensor([[2.0, 6.0]]), 4, context=0)
    assert pooled[0, 0].tolist() == [2, 3, 4, 5]
    # Two frames wider at either end, at half the density.
    pooled = pool_segments(features, torch.tensor([[2.0, 6.0]]), 4, context=0.5)
    assert pooled[0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    pooled = pool_segments(features, torch.tensor([[0.0, 10.0]]), 2, context=0.5)
    assert pooled[0, 0].tolist() == [0, 9]  # beyond the tube its outermost frames count


def tube(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (2, L, 4) of which RGB's show where an action begins, flow's where it ends."""
    generator = torch.Generator().manual_seed(seed)
    length = int(torch.randint(30, 50, (), generator=generator))
    start = int(torch.randint(5, 12, (), generator=generator))
    end = length - int(torch.randint(5, 12, (), generator=generator))
    features = 0.3 * torch.randn(2, length, 4, generator=generator)
    features[0, start:, 0] += 1
    features[1, :end, 1] += 1
    labels = torch.zeros(length)
    labels[start:end] = 1
    return features, labels


def trained(exchange: bool) -> SegmentCooperation:
    torch.manual_seed(0)
    network = SegmentCooperation(
        SegmentSizes(4, 2, stages=2, width=16, hidden=32, exchange=exchange)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    for step in range(400):
        features, labels = tube(step % 40)
        optimizer.zero_grad()
        network.losses(features, 1, labels).total.backward()
        optimizer.step()
    return network.eval()


def test_segments_of_unseen_tubes_fit_better_than_whole_tubes() -> None:
    network, found, whole = trained(exchange=True), [], []
    for seed in range(100, 130):
        features, labels = tube(seed)
        truth = runs_over(labels, (0.5,), 1)
        with torch.no_grad():
            found.append(segment_iou(network(features, 1).segments[:1], truth).item())
        whole.append(segment_iou(torch.tensor([[0.0, len(labels)]]), truth).item())
    assert sum(found) / len(found) > 0.75
    assert sum(found) > sum(whole) + 0.1 * len(whole)


def answers_of_rgb(network: SegmentCooperation, features: torch.Tensor) -> list[torch.Tensor]:
    """Logits of RGB's heads, of stages 0 and 1."""
    maps, frames = network._maps(features, 0)
    said = network._heads_of_all(maps, frames, 0, None)
    return [said[0][0][0], said[2][0][0]]


@torch.no_grad()
@pytest.mark.parametrize("exchange", [True, False])
def test_streams_hear_of_each_other_only_where_they_exchange(exchange: bool) -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(SegmentSizes(4, 2, exchange=exchange))
    network.messages[0].restore.weight.normal_()
    features, _ = tube(0)
    other = features.clone()
    other[1] = torch.randn_like(other[1])
    (first, then), (first_again, then_again) = (
        answers_of_rgb(network, x) for x in (features, other)
    )
    assert torch.equal(first, first_again)
    same = then.shape == then_again.shape and torch.equal(then, then_again)
    assert same != exchange


def test_every_parameter_learns_and_answers_are_in_the_tube() -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(SegmentSizes(4, 2))
    features, labels = tube(0)
    network.losses(features, 0, labels).total.backward()
    silent = {n for n, p in network.named_parameters() if p.grad is None}
    assert silent == set()
    found = network(features, 0)
    assert len(found.segments) == len(found.logits) >= 1
    assert (found.segments[:, 0] >= 0).all()
    assert (found.segments[:, 1] <= len(labels)).all()
    assert (found.logits[:-1] >= found.logits[1:]).all()


def test_messages_start_at_nothing() -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(SegmentSizes(4, 2))
    features, _ = tube(0)
    before = network(features, 0)
    with torch.no_grad():
        for message in network.messages:
            message.reduce.weight.mul_(3)
    assert torch.equal(network(features, 0).logits, before.logits)


def test_a_tube_without_its_action_pushes_scores_down() -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(SegmentSizes(4, 2))
    features, labels = tube(0)
    losses = network.losses(features, 0, torch.zeros_like(labels))
    assert losses.boundaries == 0
    assert losses.scores > 0


def test_one_frame_is_a_tube() -> None:
    found = SegmentCooperation(SegmentSizes(4, 2))(torch.randn(2, 1, 4), 0)
    assert found.segments.tolist() == [[0, 1]]


def test_actionness_is_that_of_the_best_segment_around(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SegmentCooperation(SegmentSizes(4, 2))
    segments = torch.tensor([[2.4, 5.6], [4.0, 7.0], [0.0, 3.0]])
    found = Found(segments, torch.tensor([0.5, 0.8, 0.2]).logit())
    monkeypatch.setattr(network, "forward", lambda features, cls: found)
    said = network.actionness(torch.zeros(2, 8, 4), 0)
    # Frames 2 to 5 (from 2.4 and 5.6), 4 to 6 and 0 to 2.
    expected = [0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.8, 0.0]
    torch.testing.assert_close(said, torch.tensor(expected))


def test_tubes_are_judged_one_by_one() -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(SegmentSizes(4, 2)).eval()
    pair = [tube(seed)[0] for seed in (0, 1)]
    lengths = [x.shape[1] for x in pair]
    rows = torch.cat([x.transpose(0, 1).flatten(1) for x in pair]).numpy()
    boxes = np.tile(np.float32([0, 0, 9, 9]), (len(rows), 1))
    ptr, ones = np.cumsum([0, *lengths]), np.ones(2)
    tubes = Tubes(["v"], ["a", "b"], [0, 0], [1, 0], ones, [1, 1], ptr, boxes, np.ones(len(rows)))
    said = tube_actionness(network, tubes, rows)
    expected = [network.actionness(x, cls) for x, cls in zip(pair, (1, 0))]
    torch.testing.assert_close(torch.from_numpy(said), torch.cat(expected))
    assert tube_actionness(network, tubes.take(np.zeros(2, bool)), rows[:0]).shape == (0,)
