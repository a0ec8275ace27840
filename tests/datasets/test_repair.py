from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.datasets.annotations import read_annotations
from pcsc_d2.datasets.repair import (
    AnnotationIssues,
    Clip,
    clip_to_image,
    fit_to_clips,
    measure_clips,
)
from pcsc_d2.tubes import GroundTruth, Tubes


@pytest.fixture
def truth() -> GroundTruth:
    """Two videos of 5 and 3 frames at 10 x 20; a tube in each."""
    boxes = np.float32([[0, 0, 9, 4], [2, 1, 19, 9], [1, 1, 25, 3], [0, 0, 1, 1], [2, 2, 3, 3]])
    videos, labels, ones = np.array(["a", "b"]), ("x", "y"), np.ones(5, np.float32)
    tubes = Tubes(
        videos, np.array(labels), [0, 1], [1, 0], ones[:2], [2, 2], [0, 3, 5], boxes, ones
    )
    return GroundTruth(labels, videos, [5, 3], [[10, 20]] * 2, tubes, [["a"]], [["b"]])


def test_boxes_are_cut_at_the_border(truth):
    issues = AnnotationIssues()
    inside = clip_to_image(truth, issues)
    assert inside.tubes.boxes[2].tolist() == [1, 1, 19, 3]
    assert issues == AnnotationIssues(clipped={"a": 1})
    assert np.array_equal(np.delete(inside.tubes.boxes, 2, 0), np.delete(truth.tubes.boxes, 2, 0))
    again = AnnotationIssues()
    clip_to_image(inside, again)
    assert again.lines() == []


def test_clips_of_another_size_scale_the_boxes(truth):
    issues = AnnotationIssues()
    fitted = fit_to_clips(truth, {"a": Clip(5, 20, 30)}, issues)
    assert fitted.resolution.tolist() == [[20, 30], [10, 20]]
    # the whole image stays the whole image: x2 + 1 is what scales
    assert fitted.tubes.boxes[:2].tolist() == [[0, 0, 14, 9], [3, 2, 29, 19]]
    assert fitted.tubes.boxes[3:].tolist() == truth.tubes.boxes[3:].tolist()
    assert issues.frame_counts == {}


def test_clips_of_another_length_cut_the_tubes(truth):
    issues = AnnotationIssues()
    fitted = fit_to_clips(truth, {"a": Clip(3, 10, 20), "b": Clip(7, 10, 20)}, issues)
    assert fitted.nframes.tolist() == [3, 3]
    assert fitted.tubes.last.tolist() == [3, 3]
    assert issues.beyond == {"a": 1}
    assert issues.frame_counts == {"a": (5, 3), "b": (3, 7)}
    assert (
        "2 clips have another number of frames (first: a, 5 annotated, 3 there)" in issues.lines()
    )
    assert (fitted.train, fitted.test) == (truth.train, truth.test)


def test_tube_wholly_beyond_the_clip_goes(truth):
    fitted = fit_to_clips(truth, {"b": Clip(1, 10, 20)}, AnnotationIssues())
    assert fitted.tubes.video.tolist() == [0]


def test_measuring_goes_on_past_bad_videos(tmp_path, gray_video):
    issues = AnnotationIssues()
    paths = {"bad": tmp_path / "missing.mp4", "good": gray_video}
    assert measure_clips(paths, "coded", issues) == {"good": (20, 48, 64)}
    assert "missing.mp4: no such video" in issues.unreadable["bad"]
    assert issues.lines()[0].startswith("1 videos cannot be read (first: ")


def test_real_clips_fit_their_annotation(real_data):
    paths = {f"{p.parent.name}/{p.stem}": p for p in real_data.glob("ucf24/videos/*/*.*")}
    issues = AnnotationIssues()
    clips = measure_clips(paths, "constant_rate", issues)
    truth = read_annotations(real_data / "ucf24/annotations/pyannot.pkl").select(sorted(paths))
    fitted = fit_to_clips(truth, clips, issues)
    assert issues == AnnotationIssues()
    larger = (fitted.resolution != [240, 320]).any(1)
    assert fitted.videos[larger].tolist() == [
        "Fencing/v_Fencing_g01_c06",
        "SalsaSpin/v_SalsaSpin_g03_c01",
    ]
    rows = larger[fitted.tubes.video[fitted.tubes.box_tubes]]
    ratio = (fitted.tubes.boxes[rows, 2] + 1) / (truth.tubes.boxes[rows, 2] + 1)
    assert np.allclose(ratio, 340 / 320)


def test_real_clip_one_frame_short_is_found(real_data):
    name = "stand/BIG_FISH_stand_u_nm_np1_fr_med_27"
    issues = AnnotationIssues()
    clips = measure_clips({name: real_data / f"jhmdb/videos/{name}.mp4"}, "coded", issues)
    truth = read_annotations(real_data / "jhmdb/annotations/JHMDB-GT.pkl").select([name])
    assert fit_to_clips(truth, clips, issues).tubes.last.tolist() == [35]
    assert issues.frame_counts == {name: (36, 35)}
