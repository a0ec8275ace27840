"""Cached maps that are damaged, or of another program, are made anew."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from pcsc_d2.data.feature_store import FeatureStore, fill


def write(store: FeatureStore, clip: dict) -> None:
    with store.create(clip, False, 2, {"c3": (2, 3, 4)}) as records:
        fill(records, [1, 2], {"c3": torch.ones(2, 2, 3, 4)}, 0)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_maps_are_made_anew(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    (tmp_path / "a.mp4").write_bytes(b"video")
    store = FeatureStore(tmp_path)
    clip = {"flow_key": "a", "file_name": str(tmp_path / "a.mp4"), "frame_index": 1}
    write(store, clip)
    assert store.holds([clip], False)
    path = store.path(clip, False)
    data = path.read_bytes()
    others = (np.zeros(3), np.zeros((2, 2), "O"), np.zeros(2, [("frame", "<i4"), ("stamp", "<i8")]),
              np.zeros(2, [("frame", "<f4"), ("stamp", "<i8"), ("c3", "<f2", (2,))]))  # fmt: skip
    way = rng.randrange(3)
    if way == 0:
        path.write_bytes(data[: rng.randrange(len(data))])
    elif way == 1:
        path.write_bytes(rng.randbytes(12) + data[12:])
    else:
        np.save(path, rng.choice(others), allow_pickle=True)
    assert not store.holds([clip], False)
    with pytest.raises(ValueError, match=r"a\.npy: .*pcsc features makes it anew"):
        store.read(clip, False)
    write(store, clip)
    assert store.holds([clip], False)
    assert store.read(clip, False)["c3"].shape == (2, 3, 4)
