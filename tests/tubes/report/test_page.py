"""The report is whole, needs no network, and lets no name out of its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pcsc_d2.tubes import Detections, GroundTruth, link
from pcsc_d2.tubes.report.actionness_curves import ActionnessCurve
from pcsc_d2.tubes.report.page import report_page
from pcsc_d2.tubes.scoring.results import score
from tests.html_page import HOSTILE, Page

BOX = (40, 40, 80, 90)


def make_crowd_truth(make_truth: Callable[..., GroundTruth]) -> GroundTruth:
    return make_truth([(v, c, 3, [BOX] * 9) for v in range(4) for c in range(2)], list("abcd"), 60)


def test_page_is_whole_and_needs_no_network(
    crowd: Detections, make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_crowd_truth(make_truth)
    results = score(truth, crowd, link(crowd))
    text = report_page(results, "a <b> & c", [("worst <tube>", b"\x89PNG"), ("best", b"\x89PNG")])
    page = Page(text)
    assert page.open == []
    assert page.count["img"] == 2
    assert page.count["polyline"] == 1 + 2 * 2  # mAP by threshold; two series of two classes
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "http" not in text
    assert "url(" not in text
    assert "a &lt;b&gt; &amp; c" in text
    for mean in (results.frame[0.5].mean, results.frame[0.75].mean, results.frame.average):
        assert f"<b>{mean:.2f}</b>" in text
    assert "without ground truth: wave" in text


def test_page_of_half_the_results(
    crowd: Detections, make_truth: Callable[..., GroundTruth]
) -> None:
    truth = make_crowd_truth(make_truth)
    assert "Video mAP" not in report_page(score(truth, crowd))
    assert "frame mAP" not in report_page(score(truth, tubes=link(crowd)))
    nothing = score(make_truth([], list("abcd"), 60), crowd, link(crowd))
    assert Page(report_page(nothing)).open == []
    assert nothing.to_dict()["frame"] == {"0.5": None, "0.75": None, "0.5:0.95": None}


def test_hostile_names_stay_text(crowd: Detections, make_truth: Callable[..., GroundTruth]) -> None:
    truth = make_crowd_truth(make_truth)
    labels = [HOSTILE, *truth.labels[1:]]
    truth = replace(truth, labels=labels, tubes=replace(truth.tubes, labels=np.array(labels)))
    crowd = replace(crowd, labels=np.array(labels))
    ones = np.ones(5)
    curve = ActionnessCurve(HOSTILE, 1, ones, ones, 0.5, [(1, 5)], [(1, 5)], 9)
    results = score(truth, crowd, link(crowd))
    pictures, refined = [(HOSTILE, b"\x89PNG")], (HOSTILE, {HOSTILE: [curve]})
    page = Page(report_page(results, HOSTILE, pictures, refined))
    assert page.open == []
    assert page.count["script"] == 0
    assert page.count["img"] == 1
    assert not {name for name in page.attributes if name.startswith("on")}
    # Title twice, class in five tables, panel, summary, heading, and captions of curve and picture.
    assert page.text.count(HOSTILE) >= 9
