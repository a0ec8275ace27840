"""The validation part of a training side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pcsc_d2.datasets.holdout import hold_out, is_held_out, source_of
from pcsc_d2.datasets.layout import dataset_files
from pcsc_d2.datasets.repair import AnnotationIssues
from pcsc_d2.tubes import GroundTruth
from tests.tube_makers import LABELS, build_tubes

DATA = os.environ.get("PCSC_TEST_DATA")


@pytest.mark.parametrize(
    ("video", "source"),
    [
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0", "April_09"),
        ("wave/A_wave_of_it_wave_u_cm_np1_fr_med_3", "A_wave_of_it"),
        ("wave/A_wave_u_wave_f_cm_np1_fr_med_3", "A_wave_u"),
        ("Diving/v_Diving_g19_c02", "v_Diving_g19"),
        ("walk/my_own_clip", "walk/my_own_clip"),
    ],
)
def test_source_of_a_clip(video: str, source: str) -> None:
    assert source_of(video) == source


def test_a_film_is_on_one_side_whatever_the_class() -> None:
    films = [f"Film {i}" for i in range(200)]
    sides = [
        {
            is_held_out(f"{label}/{film}_{label}_h_nm_np1_fr_med_{n}")
            for label in ("run", "walk", "climb_stairs")
            for n in (0, 1, 22)
        }
        for film in films
    ]
    assert all(len(side) == 1 for side in sides)
    assert 30 < sum(side == {True} for side in sides) < 70


def test_parts_are_those_of_every_run() -> None:
    videos = [f"Diving/v_Diving_g{n:02d}_c01" for n in range(15, 26)]
    held_out = [video[-6:-4] for video in hold_out(videos, "val")]
    assert held_out == ["15", "16", "19", "21", "22"]
    assert sorted(hold_out(videos, "fit") + hold_out(videos, "val")) == videos


def test_test_videos_are_in_neither_part() -> None:
    videos = [f"run/{film}_run_f_nm_np1_fr_med_0" for film in "abcdefghijklmnop"]
    tubes = build_tubes([(i, 0, 1.0, 1, [[0, 0, 9, 9]]) for i in range(len(videos))], videos)
    sizes = [[240, 320]] * len(videos)
    train, test = videos[:12], videos[12:]
    truth = GroundTruth(LABELS, videos, [9] * len(videos), sizes, tubes, [train], [test])
    files = dataset_files("jhmdb")
    fit, val = (files.select(truth, part).videos.tolist() for part in ("fit", "val"))
    assert fit
    assert val
    assert sorted(fit + val) == train


@pytest.mark.skipif(not DATA, reason="PCSC_TEST_DATA is not set")
def test_jhmdb() -> None:
    files = dataset_files("jhmdb")
    truth = files.ground_truth(Path(DATA), AnnotationIssues())
    fit, val = (files.select(truth, part).videos.tolist() for part in ("fit", "val"))
    assert (len(fit), len(val)) == (528, 132)
    assert sorted(fit + val) == sorted(truth.train[0])
    assert len({name.split("/")[0] for name in val}) == 21
    assert not {source_of(name) for name in fit} & {source_of(name) for name in val}
