"""Zip files that claim to hold more than they can be meant to."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pcsc_d2.utils.zips import ARRAYS, TENSORS, Limit, check_zip


def made(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_what_a_zip_may_unfold_to(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("a", bytes(10_000)))
    size = path.stat().st_size
    check_zip(path, Limit(1, 10_000))
    check_zip(path, Limit(-(-10_000 // size), 0))
    with pytest.raises(ValueError, match="unfold to much more than the file's size"):
        check_zip(path, Limit(1, 9_000))
    with path.open("rb") as file, pytest.raises(ValueError, match="unfold to much more"):
        check_zip(file, Limit(10, 0))
    for limit in (ARRAYS, TENSORS):
        check_zip(path, limit)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_parts_of_one_name_and_parts_that_overlap(tmp_path: Path) -> None:
    twice = made(tmp_path / "twice.zip", ("a", b"1"), ("a", b"2"))
    with pytest.raises(ValueError, match="two of its parts have one name"):
        check_zip(twice, ARRAYS)
    data = bytearray(made(tmp_path / "a.zip", ("a", bytes(50))).read_bytes())
    place = data.rindex(b"PK\x01\x02") + 20  # of the packed size, in the table of contents
    data[place : place + 4] = (1 << 20).to_bytes(4, "little")
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(ValueError, match="its parts overlap"):
        check_zip(tmp_path / "b.zip", ARRAYS)
