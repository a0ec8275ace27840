"""A job ends, and says what went wrong, wherever one of its threads fails."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pcsc_d2.flow.errors import FlowError

Run = Callable[..., int]
PLACES = [
    "pcsc_d2.detect.sources.FileSource._frames",
    "pcsc_d2.models.clip_model.boxes_in_frame",
    "pcsc_d2.detect.video_result.Recorder.see",
    "pcsc_d2.detect.video_result.Recorder.add",
    "pcsc_d2.detect.video_result.Recorder.result",
    "pcsc_d2.detect.video_job.summarise",
    "pcsc_d2.detect.video_job.write_json",
    "pcsc_d2.detect.video_job.annotate",
    "pcsc_d2.detect.video_job.VideoJob._put_in_place",
    "pcsc_d2.video.writing._Encoder.write",
    "pcsc_d2.flow.methods.DISFlow.__call__",
]
ERRORS = [
    FlowError("no flow"),
    MemoryError("too large"),
    RuntimeError("of a library"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "error", ERRORS, ids=lambda error: f"{type(error).__name__}{error.args[0]}"
)
def test_ends_with_a_line_wherever_it_fails(
    run: Run, square_video: Path, monkeypatch, capsys, place: str, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    try:
        monkeypatch.setattr(place, fail)
    except (AttributeError, ImportError):
        pytest.skip(f"{place} has another name")
    before, status = threading.active_count(), []
    worker = threading.Thread(target=lambda: status.append(run(square_video)), daemon=True)
    worker.start()
    worker.join(30)
    assert not worker.is_alive(), "hangs"
    assert status in ([0], [1], [2])
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    if status != [0]:
        assert str(error.args[-1]) in told.err + told.out
    assert threading.active_count() <= before
    assert not list((square_video.parents[1] / "out").glob(".detect-*"))
