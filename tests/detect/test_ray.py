"""An archive on a Ray cluster of this machine, without network: the files of one process."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.cli import main
from pcsc_d2.detect import ActionDetector, ClipDetections, DetectOptions
from pcsc_d2.detect.archive.output import Output
from pcsc_d2.detect.archive.plan import Plan
from pcsc_d2.detect.archive.ray_pool import Pool, Worker, run_on_ray
from pcsc_d2.detect.inputs import find_tasks
from tests.square_model import SquareModel, encode, square_frames

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'pcsc_d2[ray]'"
)


def content(out: Path) -> dict[str, bytes]:
    """All files that do not say which process made them."""
    paths = [p for p in out.rglob("*") if p.is_file() and ".journal" not in p.parts]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in paths}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        encode(folder / name, square_frames(10 + i))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@needs_ray
def test_a_pool_makes_what_one_process_makes(archive: Path, tmp_path: Path, capsys) -> None:
    words = ["detect", str(archive), "--model", str(SHIPPED_MODEL), "--quiet", "--every", "4"]
    words += ["--score", "0.05", "--device", "cpu"]
    pool = ["--ray", "--workers", "2"]
    one, many = tmp_path / "one", tmp_path / "many"
    assert main([*words, "--out", str(one)]) == 1
    said = capsys.readouterr().out.replace(str(one), "OUT")
    assert main([*words, "--out", str(many), *pool]) == 1
    assert sorted(capsys.readouterr().out.replace(str(many), "OUT").splitlines()) == sorted(
        said.splitlines()
    )
    assert content(many) == content(one)
    workers = [p for p in many.glob(".journal/*.jsonl") if '"begun"' in p.read_text()]
    assert 1 <= len(workers) <= 2
    assert main([*words, "--out", str(many), *pool, "--resume"]) == 1
    assert "0 done, 3 were done before, 1 with problems" in capsys.readouterr().out
    assert content(many) == content(one)


class SquarePlan(Plan):
    """Of a model whose answers are known."""

    def detector(self) -> ActionDetector:
        return ActionDetector(SquareModel(), self.options)


def test_a_worker_gives_up_what_ended_its_process(archive: Path, tmp_path: Path) -> None:
    """What an actor does when Ray starts it again, without Ray."""
    (tmp_path / "model.pt").write_bytes(b"stands for a model")
    plan = SquarePlan((str(tmp_path / "model.pt"),), DetectOptions())
    output = Output(tmp_path / "out")
    worker = Worker(plan, tmp_path / "out", output.began, resume=False)
    tasks = find_tasks([str(archive)], 0.0, float("inf"))
    for task, tries in zip(tasks, (3, 2, 0, 1)):  # a, b, broken, deep/c
        for _ in range(tries):
            output.begin(task)
    batch = {"task": np.array([pickle.dumps(task) for task in tasks], object)}
    found = [pickle.loads(row) for row in worker(batch)["outcome"]]
    states = {Path(outcome.name).stem: outcome.state for outcome in found}
    assert states == {"a": "failed", "b": "done", "broken": "failed", "c": "done"}
    [given_up] = [outcome.problem for outcome in found if outcome.name.endswith("a.mp4")]
    assert given_up.endswith("a.mp4: its process ended each of 3 times (out of memory?)")
    again = [pickle.loads(row) for row in worker(batch)["outcome"]]
    assert {o.name: o.state for o in again if o.state == "before"}.keys() == {
        o.name for o in found if o.state == "done"
    }


class Deadly(SquareModel):
    """Ends its process at the video whose frames are a pixel wider."""

    def __call__(
        self, clips: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]
    ) -> list[ClipDetections]:
        if size[1] == 98:
            os._exit(1)
        return super().__call__(clips, size)


class DeadlyPlan(Plan):
    """Of a model that ends its process."""

    def detector(self) -> ActionDetector:
        return ActionDetector(Deadly(), self.options)


@needs_ray
def test_a_video_that_ends_its_process_does_not_end_the_job(tmp_path: Path, archive: Path) -> None:
    wide = [np.pad(frame, ((0, 0), (0, 2), (0, 0))) for frame in square_frames(10)]
    encode(archive / "b.mp4", wide)
    (tmp_path / "model.pt").write_bytes(b"stands for a model")
    plan = DeadlyPlan((str(tmp_path / "model.pt"),), DetectOptions())
    output = Output(tmp_path / "out")
    tasks = find_tasks([str(archive)], 0.0, float("inf"))
    report = run_on_ray(Pool(workers=1), plan, output, tasks, resume=False, progress=False)
    assert report.done + report.before == 2
    assert sorted(line.rpartition("/")[2][:25] for line in report.problems) == [
        "b.mp4: its process ended ",
        "broken.mp4: cannot be ope",
    ]


def run_words(square_video: Path, tmp_path: Path, *words: str) -> int:
    return main(["detect", str(square_video), "--out", str(tmp_path / "out"), "--quiet", *words])


@needs_ray
def test_a_cluster_that_is_not_there(square_video: Path, tmp_path: Path, capsys) -> None:
    words = ["--model", str(SHIPPED_MODEL), "--ray", "127.0.0.1:1"]
    assert run_words(square_video, tmp_path, *words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no Ray cluster at 127.0.0.1:1 (Connection refused): start one")


def test_ray_that_is_not_installed(square_video: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_words(square_video, tmp_path, "--model", str(SHIPPED_MODEL), "--ray") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("needs ray, which is not installed: pip install 'pcsc_d2[ray]'")


def test_what_other_machines_cannot_see(tmp_path: Path, capsys) -> None:
    assert run_words(Path("-"), tmp_path, "--model", str(SHIPPED_MODEL), "--ray") == 2
    assert "standard input: is on this machine alone; leave --ray out" in capsys.readouterr().err


def test_a_model_that_is_not_there(square_video: Path, tmp_path: Path, capsys) -> None:
    assert run_words(square_video, tmp_path, "--model", "no.pt", "--ray") == 2
    assert "no.pt: no such model; all machines have to see it" in capsys.readouterr().err


@pytest.mark.parametrize("gpus", [-1.0, 1.5])
def test_shares_of_gpus(gpus: float) -> None:
    with pytest.raises(ValueError, match="a number, or a fraction of one GPU"):
        Pool(gpus=gpus)
