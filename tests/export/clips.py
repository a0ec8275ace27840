"""Real clips that exported models are shown."""

from __future__ import annotations

from pathlib import Path

import torch

from pcsc_d2.flow.methods import compute_flow
from pcsc_d2.video import clip_indices, read_frames


def real_clips(folder: Path, length: int) -> list[dict]:
    """A clip of J-HMDB and one of UCF101, which differ in size, as inputs of a model."""
    clips = []
    for pattern in ("jhmdb/videos/*/*.mp4", "ucf24/videos/Fencing/*"):
        frames = read_frames(sorted(folder.glob(pattern))[0], clip_indices(10, length, 20))
        flow = torch.as_tensor(compute_flow(frames)).permute(3, 0, 1, 2)
        rgb = torch.as_tensor(frames).permute(3, 0, 1, 2)
        clips.append({"rgb": rgb, "flow": torch.cat([flow, flow[:, -1:]], dim=1)})
    assert {tuple(clip["rgb"].shape[2:]) for clip in clips} == {(240, 320), (256, 340)}
    return clips
