"""Output folders that others have written to: what is in them ends nothing."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("av")

from pcsc_d2.datasets.custom.found import read_found
from pcsc_d2.detect.archive.layout import JOURNAL
from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.video import VideoError
from tests.hostile.results import COLUMNS, SUMMARY, TUBE, write_journal, write_results


@pytest.mark.parametrize("seed", range(25))
def test_pages_and_tables_of_what_others_wrote(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for name in ("a", "b/c", "d"):
        write_results(tmp_path / name, rng)
    output = Output(tmp_path)
    write_journal(tmp_path / JOURNAL / "other.jsonl", rng)
    totals = output.finish(progress=False, look_for_more=True)
    output.close()
    assert totals.videos <= 3
    assert "<b>" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    cells = (tmp_path / "tubes.csv").read_text(encoding="utf-8").replace("\n", ",").split(",")
    assert not any(cell.startswith("=") for cell in cells)


@pytest.mark.parametrize("seed", range(40))
def test_annotations_of_what_others_wrote(seed: int, tmp_path: Path) -> None:
    write_results(tmp_path / "a", random.Random(seed))
    try:
        found = read_found(tmp_path)
    except ValueError as error:
        reason = str(error)
    else:
        reason = str(tmp_path)
        assert all(rate > 0 for rate in found.rates.values())
        assert found.truth.tubes.start.min() >= 1
    assert reason.startswith(str(tmp_path))


def test_an_address_that_is_none_fails_at_its_turn(tmp_path: Path) -> None:
    tasks = find_tasks(["http://[x", "http://127.0.0.1:9/a.mp4"], 0.0, 1.0, urls=True)
    assert len({task.folder for task in tasks}) == 2
    with pytest.raises(VideoError):
        tasks[0].open(tmp_path)


def test_a_summary_with_what_no_file_can_hold(tmp_path: Path) -> None:
    summary = Summary(**{**SUMMARY, "video": "a\ud800"})
    summary.save(tmp_path / "summary.json")
    assert Summary.load(tmp_path / "summary.json") == summary


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [
        ({"start_frame": 1.0}, True),
        ({"start_frame": "1"}, False),
        ({"start_frame": 1.5}, False),
        ({"score": 1e39}, False),
        ({"boxes": [[1.0, 2.0, 30.0, 1e39]] * 2}, False),
        ({"boxes": [[1.0, 2.0, 30.0]] * 2}, False),
    ],
)
def test_tables_and_annotations_read_the_same_numbers(
    changes: dict, is_read: bool, tmp_path: Path
) -> None:
    tubes = [TUBE | COLUMNS | changes]
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "tubes.json").write_text(json.dumps(SUMMARY | {"tubes": tubes}))
    output = Output(tmp_path)
    assert output.finish(progress=False, look_for_more=True).videos == is_read
    output.close()
    with nullcontext() if is_read else pytest.raises(ValueError, match="cannot be read as tubes"):
        read_found(tmp_path)
