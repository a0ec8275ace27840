"""The guide to one's own data, followed by its own commands in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from pcsc_d2.tubes import Detections

REPOSITORY = Path(__file__).parents[2]


def commands() -> str:
    guide = (REPOSITORY / "docs" / "pages" / "custom-datasets.md").read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```sh\n(.*?)```", guide, re.DOTALL))


def test_the_guides_commands_work_in_an_empty_folder(tmp_path: Path) -> None:
    folder, programs = tmp_path / "empty", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    (programs / "pcsc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pcsc_d2 "$@"\n')
    (programs / "pcsc").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PCSC_CACHE", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for form in ("csv", "coco", "cvat"):
        (report,) = re.findall(rf"^easy_{form}: (.*)$", done.stdout, re.MULTILINE)
        assert report.startswith("11 annotated videos, 11 clips")
    assert (folder / "shown" / "easy_csv_sheet.png").is_file()
    assert len(list(folder.glob("shown/easy_csv_*.mp4"))) == 2
    found = folder / "output" / "dry_run_scored" / "inference" / "easy_csv_test"
    detections = Detections.load(found / "detections.npz")
    assert detections.videos.tolist() == ["test/0000", "test/0001"]
    assert len(detections) > 0
    results = json.loads((found / "results.json").read_text())
    assert set(results["frame"])
    # Flow was computed once, for training and test clips.
    assert len(list(folder.glob("data/flow/dis/easy_csv/*/*.zip"))) == 10
