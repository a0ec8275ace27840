"""Segments by hand, and the stage loop in time on tubes whose boundaries are known."""

from __future__ import annotations

import pytest
import torch

from pcsc_d2.modeling.segments import (
    SegmentCooperation,
    keep_best,
    pool_segments,
    runs_over,
    segment_iou,
)


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
    network = SegmentCooperation(4, 2, stages=2, width=16, hidden=32, exchange=exchange)
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
    network = SegmentCooperation(4, 2, exchange=exchange)
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
    network = SegmentCooperation(4, 2)
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
    network = SegmentCooperation(4, 2)
    features, _ = tube(0)
    before = network(features, 0)
    with torch.no_grad():
        for message in network.messages:
            message.reduce.weight.mul_(3)
    assert torch.equal(network(features, 0).logits, before.logits)


def test_a_tube_without_its_action_pushes_scores_down() -> None:
    torch.manual_seed(0)
    network = SegmentCooperation(4, 2)
    features, labels = tube(0)
    losses = network.losses(features, 0, torch.zeros_like(labels))
    assert losses.boundaries == 0
    assert losses.scores > 0


def test_one_frame_is_a_tube() -> None:
    found = SegmentCooperation(4, 2)(torch.randn(2, 1, 4), 0)
    assert found.segments.tolist() == [[0, 1]]
