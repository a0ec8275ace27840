"""Which frames make the clip around a key frame."""

from __future__ import annotations

import numpy as np


def clip_indices(key_frame: int, length: int, num_frames: int) -> np.ndarray:
    """The frames at stride 1 around a key frame.

    An odd ``length`` T is centred on the key frame; an even one has T/2 frames before it and
    T/2 - 1 after. Beyond its ends the video stands still (indices are clamped).

    Args:
        key_frame: 1-based, as in annotation files.
        length: T.
        num_frames: of the video.

    Returns:
        (T,) int64, 0-based.

    Raises:
        ValueError: the key frame is not in the video, or T is below 1.
    """
    if not 1 <= key_frame <= num_frames:
        raise ValueError(f"key frame {key_frame} is not in a video of {num_frames} frames")
    if length < 1:
        raise ValueError(f"a clip has at least one frame, not {length}")
    first = key_frame - 1 - length // 2
    return np.clip(np.arange(first, first + length), 0, num_frames - 1)


def flow_indices(frame_indices: np.ndarray, num_frames: int) -> np.ndarray:
    """The flow fields that belong to frames: field i is from frame i to i+1, the last repeats.

    Args:
        frame_indices: (T,) 0-based.
        num_frames: of the video, which has one flow field fewer.

    Returns:
        (T,) int64, 0-based. All 0 for a video of one frame, whose flow reads as zero.
    """
    return np.clip(np.asarray(frame_indices, dtype=np.int64), 0, max(num_frames - 2, 0))
