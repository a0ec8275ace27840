"""What key frames of a window share, and when that is what their clips give alone."""

from __future__ import annotations

import itertools

import pytest
import torch

from pcsc_d2.layers import InceptionI3D
from pcsc_d2.layers.window_trunk import (
    LEVELS,
    Sharing,
    WindowTrunk,
    grid_of,
    interpolate,
    split_phases,
    trunk_parts,
)

LENGTH = 16
STARTS = [0, 1, 3, 8]


def make_trunk(context: int = 0) -> InceptionI3D:
    torch.manual_seed(0)
    return InceptionI3D(2, width=0.0625, norm="BN", context=context).eval()


def window_trunk(context: int = 0, **options: object) -> WindowTrunk:
    parts = trunk_parts(make_trunk(context))
    return WindowTrunk(parts, LENGTH + 2 * context, context=context, **options)


def clips_of(frames: torch.Tensor, starts: list[int], length: int = LENGTH) -> torch.Tensor:
    return torch.cat([frames[:, :, s : s + length] for s in starts])


def largest(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    pairs = zip(a, b, strict=True)
    return max((float((x - y).abs().max() / y.std()) for x, y in pairs), default=0.0)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randn(1, 2, 24, 32, 64)


@torch.no_grad()
def test_parts_are_the_trunk(frames: torch.Tensor) -> None:
    clips = clips_of(frames, STARTS)
    expected = [x.mean(dim=2) for x in make_trunk()(clips).values()]
    assert largest(window_trunk()(clips), expected) == 0


@torch.no_grad()
def test_clip_by_clip_when_nothing_is_shared(frames: torch.Tensor) -> None:
    trunk = window_trunk(batch=3)
    alone = trunk(clips_of(frames, STARTS))
    assert [x.shape for x in alone] == [x.shape for x in trunk.window(frames, STARTS, 0, 1)]
    assert largest(trunk.window(frames, STARTS, 0, 1), alone) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("shared", [1, 2, 3, 4])
def test_a_window_of_one_clip_is_the_clip(shared: int, frames: torch.Tensor) -> None:
    trunk = window_trunk(time_pool="middle")
    assert (
        largest(trunk.window(frames[:, :, :LENGTH], [0], shared, 1), trunk(frames[:, :, :16])) == 0
    )


@torch.no_grad()
@pytest.mark.parametrize("start", [0, 3, 6, 9])
def test_slices_of_a_still_video_do_not_depend_on_the_key_frame(start: int) -> None:
    """Far from the window's ends each key frame of a still video has the same maps."""
    trunk = window_trunk()
    still = torch.randn(1, 2, 1, 32, 64).expand(-1, -1, 140, -1, -1)
    first, other = ([x[i] for x in trunk.window(still, [60, 60 + start], 4, 1)] for i in (0, 1))
    assert largest(first, other) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("shared", [1, 2])
def test_with_context_sharing_changes_nothing(shared: int) -> None:
    frames = torch.randn(1, 2, 48, 32, 64)
    trunk = window_trunk(context=10)
    alone = trunk(clips_of(frames, STARTS, LENGTH + 20))
    assert largest(trunk.window(frames, STARTS, shared, 1), alone) < 1e-4
    without, inner = window_trunk(), [s + 10 for s in STARTS]
    assert largest(without.window(frames, inner, 2, 1), alone) < 1e-4
    assert largest(without(clips_of(frames, inner)), alone) > 0.1


@torch.no_grad()
def test_scripted_alike(frames: torch.Tensor) -> None:
    trunk = window_trunk()
    scripted = torch.jit.script(
        WindowTrunk([torch.jit.trace(p, x) for p, x in zip(trunk.parts, inputs(trunk))], LENGTH)
    )
    for shared, starts in itertools.product(range(5), (STARTS, [0, 1, 2, 3])):
        expected = trunk.window(frames, starts, shared, 2)
        assert largest(scripted.window(frames, starts, shared, 2), expected) == 0


def inputs(trunk: WindowTrunk) -> list[torch.Tensor]:
    x, found = torch.randn(1, 2, LENGTH, 32, 64), []
    for part in trunk.parts:
        found.append(x)
        x = part(x)
    return found


def test_phases_by_hand() -> None:
    run = torch.arange(9.0).view(1, 1, 9, 1, 1)
    split, run_of = split_phases([run, run + 100], [0, 0, 1, 0], [0, 3, 1, 2])
    assert [x.flatten().tolist() for x in split] == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [1, 2, 3, 4, 5, 6, 7, 8],
        [101, 102, 103, 104, 105, 106, 107, 108],
    ]
    assert run_of == [0, 1, 2, 0]


def test_what_can_be_shared() -> None:
    assert [Sharing(level).parts(16) for level in ("", *LEVELS)] == [0, 1, 2, 3, 4]
    assert Sharing("c4").parts(12) == 3
    assert [Sharing().parts(16 + 2 * context, context) for context in (0, 4, 10)] == [1, 1, 2]
    with pytest.raises(ValueError, match="12 frames cannot share up to c5"):
        Sharing("c5").parts(12)
    with pytest.raises(ValueError, match="c6"):
        Sharing("c6")
    with pytest.raises(ValueError, match="at least 1"):
        Sharing("c3", 0)
    with pytest.raises(ValueError, match="even number"):
        InceptionI3D(3, 0.0625, context=3)


@pytest.mark.parametrize(
    ("starts", "step", "expected"),
    [
        ([3, 4, 5, 6, 7], 2, [0, 2, 4]),
        ([3, 4, 5, 6, 7, 8], 4, [0, 4, 5]),
        ([3, 5, 7, 9, 14], 4, [0, 2, 3, 4]),
        ([3, 4, 5], 1, [0, 1, 2]),
        ([3], 2, [0]),
    ],
)
def test_grid_by_hand(starts: list[int], step: int, expected: list[int]) -> None:
    assert grid_of(starts, step) == expected


def test_interpolated_by_hand() -> None:
    maps = torch.tensor([10.0, 20.0, 40.0]).view(3, 1, 1, 1)
    found = interpolate(maps, [4, 8, 10], [4, 5, 6, 8, 9, 10])
    assert found.flatten().tolist() == [10, 12.5, 15, 20, 30, 40]


@torch.no_grad()
@pytest.mark.parametrize("shared", [0, 2, 3])
def test_between_the_steps_maps_behind_those_shared_are_means(
    shared: int, frames: torch.Tensor
) -> None:
    trunk = window_trunk()
    found = trunk.window(frames, [0, 1, 2, 3, 4], shared, 2)
    expected = trunk.window(frames, [0, 1, 2, 3, 4], shared, 1)
    assert largest(found[:shared], expected[:shared]) < 1e-5
    behind = expected[shared:]
    assert largest([x[::2] for x in found[shared:]], [x[::2] for x in behind]) < 1e-5
    means = [(x[:-2:2] + x[2::2]) / 2 for x in behind]
    assert largest([x[1::2] for x in found[shared:]], means) < 1e-5


@torch.no_grad()
def test_key_frames_far_apart_are_looked_at_themselves(frames: torch.Tensor) -> None:
    trunk = window_trunk()
    found, expected = (trunk.window(frames, [0, 3, 8], 2, step) for step in (2, 1))
    assert largest(found, expected) == 0
