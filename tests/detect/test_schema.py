"""``tubes.json`` is what its published JSON Schema says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcsc_d2.detect.kinetics import Guess
from pcsc_d2.detect.results import SCHEMA, summarise, write_json
from pcsc_d2.detect.video_result import VideoResult
from tests.tube_makers import build_tubes

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[2]
BOX = [[1.5, 2.0, 20.0, 30.0]]


def result() -> VideoResult:
    tubes = build_tubes([(0, 1, 0.5, 3, BOX * 4), (0, 0, 1.0, 1, BOX * 6)], videos=("video",))
    times = np.arange(8) / 25
    return VideoResult(tubes, np.array([2, 1]), times, 1, (48, 64), 25.0)


def written(folder: Path, what: VideoResult) -> dict[str, Any]:
    write_json(folder / "tubes.json", summarise(what, "a.mp4", "a model", {}), what)
    return json.loads((folder / "tubes.json").read_text())


@pytest.fixture(scope="module")
def schema() -> Any:
    content = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


GUESSES = [[Guess("golf", 0.5), Guess("walk", 0.25), Guess("run", 0.125)]] * 2
VARIANTS: dict[str, Callable[[VideoResult], VideoResult]] = {
    "plain": lambda r: r,
    "persons": lambda r: r.with_persons(),
    "kinetics": lambda r: replace(r, kinetics=GUESSES),
    "ended early": lambda r: replace(r, problem="ends after 1.0 of 2.0 seconds"),
    "nothing": lambda r: replace(r, tubes=r.tubes.take(np.zeros(2, bool)), number=np.zeros(0, int)),
    "actionness": lambda r: replace(
        r, tubes=replace(r.tubes, actionness=np.full(10, 0.5, np.float32))
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_written_fits(tmp_path: Path, schema: Any, name: str) -> None:
    schema.validate(written(tmp_path, VARIANTS[name](result())))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.pop("format"),
        lambda c: c.update(format=2),
        lambda c: c.update(more=1),
        lambda c: c["tubes"][0].update(boxes=[[1, 2, 3]]),
        lambda c: c["tubes"][0].update(score=1.5),
        lambda c: c["tubes"][0].pop("times"),
        lambda c: c["tubes"][0].update(start_frame=0),
        lambda c: c["persons"][0].update(labels=[]),
    ],
)
def test_what_is_not_so_does_not_fit(tmp_path: Path, schema: Any, spoil: Callable) -> None:
    content = written(tmp_path, result().with_persons())
    schema.validate(content)
    spoil(content)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(content)


def test_every_key_of_the_schema_is_written_by_some_video(tmp_path: Path, schema: Any) -> None:
    def keys(content: dict[str, Any]) -> set[str]:
        tubes = set().union(*(tube.keys() for tube in content["tubes"]))
        return {*content} | tubes

    found = set().union(*(keys(written(tmp_path, make(result()))) for make in VARIANTS.values()))
    tube = schema.schema["$defs"]["tube"]["properties"]
    assert found == {*schema.schema["properties"], *tube}


def test_the_docs_show_it() -> None:
    page = (ROOT / "docs" / "pages" / "own-video.md").read_text()
    assert f'--8<-- "{SCHEMA.relative_to(ROOT).as_posix()}"' in page
