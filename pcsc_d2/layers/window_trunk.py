"""The trunk over a window of frames, shared by the key frames in it.

The clips of neighbouring key frames overlap in all frames but a few, and so does most of what a
trunk computes for them. A trunk halves time at the stem, behind c3 and behind c4, so the slices of
a clip that starts at frame s are those of a window that starts at any s' with s - s' a multiple
of the stride: a window is run once for each such phase that occurs, two at most for c2 and c3, four
for c4, eight for c5, and each key frame takes its own slices:

    window   0 1 2 3 4 5 6 7 8 9      stem, phase 0:   |0 1|2 3|4 5|6 7|8 9|
    clip at 2    2 3 4 5              stem, phase 1:     |1 2|3 4|5 6|7 8|
    clip at 3      3 4 5 6            the clip at 2 has slices 1, 2 of phase 0; that at 3 of phase 1

A slice near an end of its clip sees zeros beyond that end when the clip is run alone, and the
frames that are really there when a window is run. Nine frames away that is no longer felt in c3, so
a trunk whose clips have a ``context`` of 10 frames gives the same either way up to c3. In c4 the
difference reaches over 30 frames and is there in any case.

What is not shared may be looked at more rarely: with a ``step`` of 4 the levels behind those shared
are run for the clip of every fourth frame, and the key frames between take means of their
neighbours' maps, weighted by distance. The levels that are shared, which say where things are, stay
those of each key frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from pcsc_d2.layers.i3d import STRIDES, TAPS, cut_context, mean_over_time

LEVELS = tuple(STRIDES)
# Frames from the end of a clip in which c3 still sees the zeros beyond it, rounded up to slices.
BORDER = 10


@dataclass(frozen=True)
class Sharing:
    """What the key frames of a window share.

    Attributes:
        level: trunk levels up to this one are computed once for the window: ``"c2"`` to ``"c5"``,
            or ``""`` for none. None is c3 for clips with a context, else c2: see ``parts``.
        step: frames between the key frames for whose clips the other levels are run; 1 runs them
            for each.
    """

    level: str | None = None
    step: int = 4

    def __post_init__(self) -> None:
        if self.level and self.level not in LEVELS:
            raise ValueError(
                f"what key frames share is up to one of {', '.join(LEVELS)}, not {self.level!r}"
            )
        if self.step < 1:
            raise ValueError(f"clips are looked at every {self.step} frames; at least 1")

    def parts(self, clip_length: int, context: int = 0) -> int:
        """How many of a trunk's parts run once for the window.

        Args:
            clip_length: T, with the context.
            context: frames at either end of it that only the levels up to c3 look at.

        Raises:
            ValueError: T is not a multiple of the level's stride in time, so that a clip's slices
                would not be those of a window.
        """
        level = self.level
        if level is None:
            level = "c3" if context >= BORDER else "c2"
        if not level:
            return 0
        stride, length = STRIDES[level][0], clip_length - 2 * context
        if length % stride:
            raise ValueError(
                f"clips of {length} frames cannot share up to {level}, which takes a multiple of "
                f"{stride}; share up to an earlier level, or go clip by clip"
            )
        return LEVELS.index(level) + 1


def trunk_parts(trunk: nn.Module) -> list[nn.Sequential]:
    """The trunk cut behind each tap: input -> c2 -> c3 -> c4 -> c5, on the trunk's own modules.

    Raises:
        ValueError: its modules have other names than those of I3D and S3D.
    """
    parts, modules = [], []
    for name, module in trunk.named_children():
        modules.append(module)
        if name in TAPS:
            parts.append(nn.Sequential(*modules))
            modules = []
    if len(parts) != len(TAPS):
        raise ValueError(
            f"a trunk of {type(trunk).__name__} has no modules by I3D's names: it runs clip by "
            "clip, in training and evaluation"
        )
    return parts


class WindowTrunk(nn.Module):
    """Runs a trunk on clips or on a window; plain enough for ``torch.jit.script``.

    Args:
        parts: as from ``trunk_parts``, or traced ones.
        clip_length: T, with the context.
        time_pool: ``"mean"`` or ``"middle"``, as in the config.
        context: frames at either end of a clip that are cut off behind c3.
        batch: clips that run at once through the parts that are not shared; bounds the memory.
    """

    def __init__(
        self,
        parts: list[nn.Module],
        clip_length: int,
        time_pool: str = "mean",
        context: int = 0,
        batch: int = 4,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        strides = [1] + [STRIDES[level][0] for level in LEVELS]
        self.halves = [after > before for before, after in pairwise(strides)]
        self.clip_length = clip_length
        self.mean_pool = time_pool == "mean"
        self.context = context
        self.batch = batch

    def forward(self, clips: torch.Tensor) -> list[torch.Tensor]:
        """Clips ``(N, C, T, H, W)`` -> c2..c5 with time pooled, ``(N, C_l, H_l, W_l)`` each."""
        return self.behind(clips, 0)

    def behind(self, x: torch.Tensor, done: int) -> list[torch.Tensor]:
        """The maps of the parts behind the first ``done``, whose output is ``x``."""
        maps: list[torch.Tensor] = []
        for number, part in enumerate(self.parts):
            if number >= done:
                x = part(x)
                kept = cut_context(x, self.context) if number < 2 else x
                maps.append(self.pool(kept))
                if number == 1:
                    x = kept
        return maps

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """Collapse time: ``(N, C, T, H, W)`` -> ``(N, C, H, W)``."""
        return mean_over_time(x) if self.mean_pool else x[:, :, x.shape[2] // 2]

    @torch.jit.export
    def window(
        self, frames: torch.Tensor, starts: list[int], shared: int, step: int
    ) -> list[torch.Tensor]:
        """What ``forward`` returns for the clips of a window that start at ``starts``, nearly.

        Args:
            frames: ``(1, C, W, H, W)``.
            starts: K first frames of clips, 0-based, ascending; each clip lies in the window.
            shared: parts run once for the window, 0 to 4, see ``Sharing``; the others run
                for clips.
            step: frames between those clips; maps between are interpolated.

        Returns:
            Four maps ``(K, C_l, H_l, W_l)``.
        """
        runs, run_of, at, length = [frames], [0 for _ in starts], starts, self.clip_length
        maps: list[torch.Tensor] = []
        for number, part in enumerate(self.parts):
            if number < shared:
                if self.halves[number]:
                    runs, run_of = split_phases(runs, run_of, at)
                    at = [s // 2 for s in at]
                    length = length // 2
                runs = [part(x) for x in runs]
                margin = self.context // 2 if number < 2 else 0
                first, last = margin, length - margin
                clips = [runs[r][:, :, s + first : s + last] for r, s in zip(run_of, at)]
                maps.append(torch.cat([self.pool(x) for x in clips]))
                if number == 1:
                    at, length = [s + margin for s in at], length - 2 * margin
        if shared < len(self.parts):
            grid = grid_of(starts, step)
            clips = [runs[run_of[k]][:, :, at[k] : at[k] + length] for k in grid]
            known = [starts[k] for k in grid]
            behind = self.behind_in_batches(clips, shared)
            maps += [interpolate(x, known, starts) for x in behind]
        return maps

    def behind_in_batches(self, clips: list[torch.Tensor], done: int) -> list[torch.Tensor]:
        """``behind`` for clips of one each, some at a time."""
        batches: list[list[torch.Tensor]] = []
        for first in range(0, len(clips), self.batch):
            batches.append(self.behind(torch.cat(clips[first : first + self.batch]), done))
        return [torch.cat([maps[level] for maps in batches]) for level in range(len(batches[0]))]


def grid_of(starts: list[int], step: int) -> list[int]:
    """Which of the starts are looked at: the first, the last, and some so that none of the others
    lies between two that are further apart than ``step``."""
    grid = [0]
    for k in range(1, len(starts)):
        if k == len(starts) - 1 or starts[k + 1] - starts[grid[-1]] > step:
            grid.append(k)
    return grid


def interpolate(maps: torch.Tensor, known: list[int], wanted: list[int]) -> torch.Tensor:
    """Map at the places wanted, from those at known ones that enclose them; both ascending."""
    if len(known) == len(wanted):
        return maps
    at, to = torch.tensor(known, device=maps.device), torch.tensor(wanted, device=maps.device)
    high = torch.searchsorted(at, to).clamp(min=1)
    low = high - 1
    weights = (to - at[low]) / (at[high] - at[low])
    return torch.lerp(maps[low], maps[high], weights.to(maps.dtype).view(-1, 1, 1, 1))


def split_phases(
    runs: list[torch.Tensor], run_of: list[int], starts: list[int]
) -> tuple[list[torch.Tensor], list[int]]:
    """Cut each run into those of its two phases that a clip starts in, before time is halved.

    An even length makes SAME padding what it is in a clip; the slice cut off belongs to no clip.

    Args:
        runs: ``(1, C, T', H, W)`` each.
        run_of, starts: each clip's run, and its first slice there.

    Returns:
        The runs to halve, and each clip's.
    """
    split: list[torch.Tensor] = []
    moved = [0 for _ in starts]
    for i, x in enumerate(runs):
        for odd in range(2):
            number = len(split)
            for k, (r, s) in enumerate(zip(run_of, starts)):
                if r == i and s % 2 == odd:
                    moved[k] = number
                    if len(split) == number:
                        split.append(x[:, :, odd : odd + (x.shape[2] - odd) // 2 * 2])
    return split, moved
