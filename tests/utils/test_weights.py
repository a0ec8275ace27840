"""Weights are read as data, whatever a file asks for, and written whole or not at all."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pcsc_d2.utils.weights import (  # noqa: E402
    DamagedError,
    is_whole,
    load_tensors,
    save_tensors,
)

ROOT = Path(__file__).parents[2]
CONTENT = {"model": {"a": torch.arange(4000.0)}, "iteration": 7, "rates": [0.5, None]}


class Call:
    """Asks for a call when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save_tensors(tmp_path / "whole.pth", CONTENT)
    return tmp_path / "whole.pth"


def test_round_trip(whole: Path) -> None:
    read = load_tensors(whole)
    assert torch.equal(read["model"]["a"], CONTENT["model"]["a"])
    assert (read["iteration"], read["rates"]) == (7, [0.5, None])
    assert is_whole(whole)
    assert os.listdir(whole.parent) == ["whole.pth"]


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_that_a_file_asks_for_runs(tmp_path: Path, zipped: bool) -> None:
    content = {"model": {"a": torch.zeros(3)}, "more": Call(tmp_path / "made")}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"x\.pth: .*asks for \w+\.mkdir"):
        load_tensors(tmp_path / "x.pth")
    (tmp_path / "y.pth").write_bytes(pickle.dumps(Call(tmp_path / "made")))
    with pytest.raises(ValueError, match=r"y\.pth: cannot be read as weights"):
        load_tensors(tmp_path / "y.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_are_named_in_one_line(whole: Path, seed: int) -> None:
    generator = random.Random(seed)
    data = bytearray(whole.read_bytes())
    path = whole.with_name("damaged.pth")
    path.write_bytes(data[: generator.randrange(len(data))])
    assert not is_whole(path)
    with pytest.raises(ValueError, match=r"damaged\.pth: ") as error:
        load_tensors(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_changed_byte_of_the_weights_is_noticed(whole: Path, seed: int) -> None:
    data = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        member = max(archive.infolist(), key=lambda each: each.file_size)
        content = archive.read(member)
    place = bytes(data).index(content) + random.Random(seed).randrange(len(content))
    data[place] ^= 1
    path = whole.with_name("changed.pth")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"changed\.pth: .*is damaged"):
        load_tensors(path)


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.pth: no such file"):
        load_tensors(tmp_path / "x.pth")
    assert not is_whole(tmp_path / "x.pth")


def test_files_that_unfold_to_far_more_are_refused(whole: Path) -> None:
    path = whole.with_name("bomb.pth")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("whole/data/1", bytes(100 << 20))
    with pytest.raises(ValueError, match=r"bomb\.pth: .*unfold to much more"):
        load_tensors(path)


FULL_DISK = """
import resource, sys, torch
from pcsc_d2.utils.weights import save_tensors
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_tensors(sys.argv[1], {"model": {"a": torch.zeros(20000)}})
    except OSError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_is_named(whole: Path) -> None:
    before = whole.read_bytes()
    limits = ["0", "700", "30000", "80400"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL_DISK, str(whole), *limits],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(limits)
    assert all(str(whole) in line for line in lines)
    assert whole.read_bytes() == before
    assert os.listdir(whole.parent) == ["whole.pth"]


@pytest.mark.parametrize("seed", range(8))
def test_weights_that_are_no_numbers_are_named(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    weights = {f"layer{i}.weight": torch.ones(2, 3) for i in range(5)}
    weights["count"] = torch.tensor(7)
    place = rng.randrange(5)
    weights[f"layer{place}.weight"][1, 2] = rng.choice([float("nan"), float("inf"), -float("inf")])
    wrapper = rng.choice(["model", "state_dict", None])
    save_tensors(tmp_path / "w.pth", weights if wrapper is None else {wrapper: weights})
    with pytest.raises(DamagedError, match=rf"w\.pth: layer{place}\.weight holds values"):
        load_tensors(tmp_path / "w.pth")
