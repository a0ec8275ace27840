"""What an exported file says of itself, as text."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from pcsc_d2.models.info import ModelInfo
from pcsc_d2.models.metadata import from_json, to_json
from pcsc_d2.tubes import LinkOptions, RefineOptions

PLAIN = ModelInfo(("a", "b"), 8, 64, 100, "dis")
FULL = ModelInfo(
    ("a",), 16, 240, 400, "raft_small", 0.0, 10, True,
    LinkOptions(gap=5, interpolate=True, temporal_alpha=3.0), RefineOptions(0.4, 5, 7), True,
    "a note", "cuda", "middle",
)  # fmt: skip
FORMAT_2 = {
    "format": 2, "labels": ["a", "b"], "clip_length": 8, "min_size": 64, "max_size": 100,
    "flow_method": "dis", "context": 10, "actionness": True, "actionness_threshold": 0.7,
    "actionness_window": 3, "note": "old", "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("info", [PLAIN, FULL])
def test_reads_what_it_writes(info: ModelInfo) -> None:
    assert from_json(to_json(info)) == info


def test_format_2_is_read() -> None:
    refine, note = RefineOptions(0.7, 3), "old"
    expected = ModelInfo(
        ("a", "b"), 8, 64, 100, "dis", 20.0, 10, True, LinkOptions(), refine, note=note
    )
    assert from_json(json.dumps(FORMAT_2)) == expected
    assert from_json(json.dumps(FORMAT_2 | {"actionness_window": 0})).refine is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "ab"}, "its labels is 'ab', not of type tuple"),
        ({"labels": ["a", 1]}, "its labels is 1, not of type str"),
        ({"labels": []}, "there are no labels"),
        ({"clip_length": 8.0}, r"its clip_length is 8\.0, not of type int"),
        ({"clip_length": 0}, "clip_length is 0; at least 1"),
        ({"min_size": True}, "its min_size is True, not of type int"),
        ({"flow_bound": None}, "its flow_bound is None, not of type float"),
        ({"flow_bound": float("nan")}, "its flow_bound is nan"),
        ({"flow_bound": -1}, "flow_bound is -1; 0 or more"),
        ({"actionness": 1}, "its actionness is 1, not of type bool"),
        ({"link": 3}, "its link is 3, not an object"),
        ({"link": {"gap": 0}}, "gap is 0; at least 1"),
        ({"refine": {"window": 4}}, "window is 4; expected an odd number"),
        ({"note": None}, "its note is None, not of type str"),
    ],
)
def test_values_that_cannot_be(change: dict, message: str) -> None:
    text = json.dumps({"format": 3, **asdict(PLAIN), **change})
    with pytest.raises(ValueError, match=message) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "null", "3", b"\xff"])
def test_text_that_is_no_metadata(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"is no JSON|of another format"):
        from_json(text)
