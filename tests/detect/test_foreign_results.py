"""Output folders that others have written to: generated results of theirs end nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pcsc_d2.datasets.custom.found import read_found
from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.inputs import find_tasks
from pcsc_d2.detect.results import Summary
from pcsc_d2.video import VideoError

pytest.importorskip("av")

VALUES = [
    None, True, -1, 0, 1 << 31, 1 << 63, 1e308, float("nan"), float("inf"), "", "x", "\ud800",
    "=1+1", "../x", "\x00", "<b>", [], [1], {}, [[1e308] * 4], [[float("nan")] * 4],
]  # fmt: skip


def results() -> tuple[dict, dict]:
    tube = {"tube": 1, "label": "run", "score": 0.5, "start": 0.0, "end": 0.2}
    tube |= {"start_frame": 1, "end_frame": 2}
    about = {"video": "a", "height": 48, "width": 64, "frames": 8, "start": 0.0, "end": 0.3}
    about |= {"problem": "", "model": "m", "stamp": {}}
    columns = {"times": [0.0, 0.1], "boxes": [[1.0, 2.0, 30.0, 40.0]] * 2, "scores": [0.5, 0.5]}
    return about | {"tubes": [tube]}, about | {"format": 1, "tubes": [tube | columns]}


def changed(content: dict, rng: random.Random) -> dict:
    content = json.loads(json.dumps(content))
    holder = rng.choice([content, content["tubes"][0]])
    holder[rng.choice(list(holder))] = rng.choice(VALUES)
    return content


def write(folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    for name, content in zip(("summary.json", "tubes.json"), results()):
        (folder / name).write_text(json.dumps(changed(content, rng)))


@pytest.mark.parametrize("seed", range(20))
def test_pages_and_tables_of_what_others_wrote(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for name in ("a", "b/c", "d"):
        write(tmp_path / name, rng)
    output = Output(tmp_path)
    journal = next(tmp_path.glob(".*/format")).parent
    summary, _ = results()
    lines = [
        {"folder": rng.choice(["a", "e", "f\ud800", "g\x00", "h" * 300]), "written": 1.0}
        | rng.choice([{"summary": changed(summary, rng)}, {"failed": rng.choice(VALUES)}])
        for _ in range(6)
    ]
    (journal / "other.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    totals = output.finish(progress=False, look_for_more=True)
    output.close()
    assert totals.videos <= 3
    shown = (tmp_path / "index.html").read_bytes().decode("utf-8")
    assert "<b>" not in shown
    assert not any(cell.startswith("=") for cell in (tmp_path / "tubes.csv").read_text().split(","))


@pytest.mark.parametrize("seed", range(40))
def test_annotations_of_what_others_wrote(seed: int, tmp_path: Path) -> None:
    write(tmp_path / "a", random.Random(seed))
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
    summary, _ = results()
    summary = Summary(**{**summary, "video": "a\ud800"})
    summary.save(tmp_path / "summary.json")
    assert Summary.load(tmp_path / "summary.json") == summary
