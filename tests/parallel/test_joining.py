"""Places where processes cannot meet, and environments that torchrun did not make."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from pcsc_d2.parallel import Place, joined

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@pytest.mark.parametrize("seed", range(8))
def test_a_variable_that_is_no_number_is_named(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    for name in NAMES:
        monkeypatch.setenv(name, "1")
    wrong = rng.choice(NAMES)
    monkeypatch.setenv(wrong, rng.choice(["", "x", "-1", "1.5", "nan"]))
    with pytest.raises(ValueError, match=f"environment's {wrong} is"):
        Place.of_environment()


@pytest.mark.parametrize("url", ["foo://host:1", "tcp://127.0.0.1", "nothing", "env://"])
def test_a_place_where_nobody_meets(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ConnectionError, match=f"{url}: the processes of the job cannot meet"),
        joined(Place(0, 2, 0, 2, url), "cpu", timedelta(seconds=2)),
    ):
        pass
