from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.video import (
    Clip,
    Findings,
    clip_to_image,
    fit_to_clips,
    measure_clips,
    read_annotations,
)


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
    findings = Findings()
    inside = clip_to_image(truth, findings)
    assert inside.tubes.boxes[2].tolist() == [1, 1, 19, 3]
    assert findings == Findings(clipped={"a": 1})
    assert np.array_equal(np.delete(inside.tubes.boxes, 2, 0), np.delete(truth.tubes.boxes, 2, 0))
    again = Findings()
    clip_to_image(inside, again)
    assert again.lines() == []


def test_clips_of_another_size_scale_the_boxes(truth):
    findings = Findings()
    fitted = fit_to_clips(truth, {"a": Clip(5, 20, 30)}, findings)
    assert fitted.resolution.tolist() == [[20, 30], [10, 20]]
    # the whole image stays the whole image: x2 + 1 is what scales
    assert fitted.tubes.boxes[:2].tolist() == [[0, 0, 14, 9], [3, 2, 29, 19]]
    assert fitted.tubes.boxes[3:].tolist() == truth.tubes.boxes[3:].tolist()
    assert findings.frame_counts == {}


def test_clips_of_another_length_cut_the_tubes(truth):
    findings = Findings()
    fitted = fit_to_clips(truth, {"a": Clip(3, 10, 20), "b": Clip(7, 10, 20)}, findings)
    assert fitted.nframes.tolist() == [3, 3]
    assert fitted.tubes.last.tolist() == [3, 3]
    assert findings.beyond == {"a": 1}
    assert findings.frame_counts == {"a": (5, 3), "b": (3, 7)}
    assert (
        "2 clips have another number of frames (first: a, 5 annotated, 3 there)" in findings.lines()
    )
    assert (fitted.train, fitted.test) == (truth.train, truth.test)


def test_tube_wholly_beyond_the_clip_goes(truth):
    fitted = fit_to_clips(truth, {"b": Clip(1, 10, 20)}, Findings())
    assert fitted.tubes.video.tolist() == [0]


def test_measuring_goes_on_past_bad_videos(tmp_path, gray_video):
    findings = Findings()
    paths = {"bad": tmp_path / "missing.mp4", "good": gray_video}
    assert measure_clips(paths, "coded", findings) == {"good": (20, 48, 64)}
    assert "missing.mp4: no such video" in findings.unreadable["bad"]
    assert findings.lines()[0].startswith("1 videos cannot be read (first: ")


def test_real_clips_fit_their_annotation(real_data):
    paths = {f"{p.parent.name}/{p.stem}": p for p in real_data.glob("ucf24/videos/*/*.*")}
    findings = Findings()
    clips = measure_clips(paths, "constant_rate", findings)
    truth = read_annotations(real_data / "ucf24/annotations/pyannot.pkl").select(sorted(paths))
    fitted = fit_to_clips(truth, clips, findings)
    assert findings == Findings()
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
    findings = Findings()
    clips = measure_clips({name: real_data / f"jhmdb/videos/{name}.mp4"}, "coded", findings)
    truth = read_annotations(real_data / "jhmdb/annotations/JHMDB-GT.pkl").select([name])
    assert fit_to_clips(truth, clips, findings).tubes.last.tolist() == [35]
    assert findings.frame_counts == {name: (36, 35)}
