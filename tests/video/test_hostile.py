"""Hostile and odd input through the check, preparation and flow: one clear line each."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.tubes import GroundTruth, Tubes
from pcsc_d2.video import VideoError, VideoSource
from pcsc_d2.video.files import find_video

SIZE = (48, 64)


def truth(names: list[str], frames: int = 4, size: tuple[int, int] = SIZE) -> GroundTruth:
    """A tube in every video, over all frames."""
    count = len(names)
    videos, ones = np.array(names), np.ones(count * frames, np.float32)
    boxes = np.tile(np.float32([10, 5, 30, 40]), (count * frames, 1))
    ptr = np.arange(count + 1) * frames
    tubes = Tubes(
        videos, np.array(["run"]), range(count), [0] * count, ones[:count], [1] * count, ptr,
        boxes, ones,
    )  # fmt: skip
    return GroundTruth(("run",), videos, [frames] * count, [size] * count, tubes, [names], [[]])


def no_frames(path: Path, encode, gray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        container.start_encoding()


def changing_size(path: Path, encode, gray) -> None:
    parts = [
        encode(path.with_name(f"{i}.mkv"), gray(4, size), "mpeg2video").read_bytes()
        for i, size in enumerate([SIZE, (64, 80)])
    ]
    path.write_bytes(b"".join(parts))
    for i in range(2):
        path.with_name(f"{i}.mkv").unlink()


def one_frame(path: Path, encode, gray) -> None:
    encode(path, gray(1))


def audio_only(path: Path, encode, gray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def a_folder_of_text(path: Path, encode, gray) -> None:
    path.with_suffix("").mkdir()
    (path.with_suffix("") / "1.txt").touch()


@pytest.fixture
def root(tmp_path: Path, encode, gray) -> Path:
    """A J-HMDB of a good clip, ``run/good``, and the annotation of ``run/odd``."""
    folder = tmp_path / "root" / "jhmdb" / "videos" / "run"
    folder.mkdir(parents=True)
    encode(folder / "good.mp4", gray(4))
    truth(["run/good", "run/odd"]).save(tmp_path / "root/jhmdb/annotations/JHMDB-GT.pkl")
    return tmp_path / "root"


def check(*arguments: object) -> int:
    return main(["check", *(str(a) for a in arguments)])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (no_frames, "odd.mp4: "),
        (changing_size, "odd.mp4: cannot be decoded after frame 3 (the size changes there)"),
        (audio_only, "odd.mp4: holds no video stream"),
        (a_folder_of_text, "odd: the folder holds no frames"),
        (one_frame, "run/odd: 4 annotated; 1 coded, 1 at the constant frame rate"),
    ],
)
def test_odd_video_gets_a_line_and_the_others_go_on(root, encode, gray, capsys, make, line):
    make(root / "jhmdb/videos/run/odd.mp4", encode, gray)
    assert check("--root", root, "--show", 2, "--out", root / "out") == 1
    out = capsys.readouterr().out
    assert sum(line in text for text in out.splitlines()) == 1
    assert "2 annotated videos" in out
    assert (root / "out/jhmdb_run_good.mp4").is_file()
    videos = [(f"jhmdb/run/{n}", root / f"jhmdb/videos/run/{n}.mp4") for n in ("odd", "good")]
    report = FlowStore(root / "flow", "dis_fast").precompute(videos)
    assert (root / "flow/dis_fast/jhmdb/run/good.zip").is_file()
    assert len(report.failed) == (make is not one_frame)
    assert all("\n" not in text for text in report.failed)


def test_million_pixels_are_handled(root, encode, gray):
    frames = gray(3, (1000, 1000))
    encode(root / "jhmdb/videos/run/odd.mp4", frames)
    truth(["run/good", "run/odd"], 3, (1000, 1000)).save(root / "jhmdb/annotations/JHMDB-GT.pkl")
    check("--root", root, "--show", 2, "--out", root / "out")
    assert VideoSource(root / "out/jhmdb_run_odd.mp4").size[0] >= 1000
    store = FlowStore(None, "dis_fast", cache_bytes=1 << 20)
    flow = store.read(root / "jhmdb/videos/run/odd.mp4", "odd", [0, 1])
    assert flow.shape == (2, 1000, 1000, 2)
    assert store._fields.bytes <= 1 << 20  # a field is larger than what may be kept


def test_image_that_promises_more_pixels_than_it_has(root):
    folder = root / "jhmdb/videos/run/odd"
    folder.mkdir()
    _, png = cv2.imencode(".png", np.zeros((8, 8), np.uint8))
    png[16:24] = np.frombuffer(np.array([50_000, 50_000], ">u4").tobytes(), np.uint8)
    (folder / "1.png").write_bytes(png.tobytes())
    with pytest.raises(VideoError, match=r"1\.png: the frame cannot be read"):
        VideoSource(folder)


@pytest.mark.parametrize("name", ["../../secret", "/etc/hosts", "run/../../x"])
def test_annotated_name_that_leaves_the_root_is_refused(root, tmp_path, capsys, name):
    truth(["run/good", name]).save(root / "jhmdb/annotations/JHMDB-GT.pkl")
    assert check("--root", root) == 2
    assert f"the annotated video '{name}' leaves" in capsys.readouterr().err
    arguments = [str(root / "jhmdb"), "--root", str(tmp_path / "laid"), "--processes", "1"]
    assert main(["prepare", "jhmdb", *arguments]) == 2
    assert f"the annotated video '{name}' leaves" in capsys.readouterr().err
    with pytest.raises(ValueError, match="leaves"):
        find_video(root, name)


class RunsCode:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made_by_a_pickle",)


def test_pickle_that_runs_code_is_refused(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = root / "jhmdb/annotations/JHMDB-GT.pkl"
    path.write_bytes(pickle.dumps({"gttubes": RunsCode()}))
    assert check("--root", root) == 2
    told = capsys.readouterr().err.strip()
    assert "JHMDB-GT.pkl" in told
    assert "mkdir" in told
    assert "\n" not in told
    assert main(["prepare", "jhmdb", str(path), "--root", str(tmp_path / "laid")]) == 2
    assert not list(tmp_path.rglob("made_by_a_pickle"))
