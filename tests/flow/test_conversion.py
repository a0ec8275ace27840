from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from pcsc_d2.flow.codec import codec_error
from pcsc_d2.flow.conversion import FlowFiles, flow_files, read_flow
from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import flip_flow
from pcsc_d2.flow.store import FlowStore

SIZE = (48, 64)


def write_flo(path: Path, field: np.ndarray) -> Path:
    height, width = field.shape[:2]
    header = b"PIEH" + struct.pack("<ii", width, height)  # the magic number spells this
    path.write_bytes(header + field.astype("<f4").tobytes())
    return path


def write_image(path: Path, *channels: np.ndarray) -> Path:
    """An image with channels given in the order red, green, blue, or a gray one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = channels[0] if len(channels) == 1 else np.stack(channels[::-1], axis=-1)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 100])
    return path


def three_channels(field: np.ndarray) -> list[np.ndarray]:
    """A field as Gkioxari and Malik store it."""
    planes = [field[..., 0], field[..., 1], np.hypot(field[..., 0], field[..., 1])]
    return [np.clip(plane * 16 + 128, 0, 255) for plane in planes]


@pytest.fixture
def field() -> np.ndarray:
    """Smooth, right and upwards at its centre, within 7 pixels."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    return np.stack([6 * np.sin(x / 20), -5 * np.cos(y / 15)], axis=-1)


@pytest.fixture
def flow_folder(tmp_path, field) -> Path:
    """``run/gray``, the flow of 20 frames in three channels, one more than is needed."""
    for i in range(1, 21):
        scaled = field * np.float32(i / 20)
        write_image(tmp_path / f"flow/run/gray/{i:05d}.jpg", *three_channels(scaled))
    return tmp_path / "flow"


@pytest.fixture
def video(tmp_path, gray_video) -> Path:
    path = tmp_path / "run" / "gray.mp4"
    path.parent.mkdir()
    return gray_video.rename(path)


def test_flo_by_hand(tmp_path):
    field = np.float32([[[1, -2], [0.25, 3]], [[30, 0], [2e9, 1]], [[np.nan, 0], [5, 6]]])
    path = write_flo(tmp_path / "a.flo", field)
    read = read_flow((path,))
    assert read.shape == (3, 2, 2)
    assert read[..., 0].tolist() == [[1, 0.25], [30, 0], [0, 5]]  # what is unknown is 0
    assert read[..., 1].tolist() == [[-2, 3], [0, 0], [0, 6]]


def test_pairs_by_hand(tmp_path):
    u = write_image(tmp_path / "u.png", np.array([[0, 255], [51, 204]]))
    v = write_image(tmp_path / "v.png", np.array([[255, 0], [102, 153]]))
    read = read_flow((u, v), bound=20)
    assert np.allclose(read[..., 0], [[-20, 20], [-12, 12]], atol=1e-5)
    assert np.allclose(read[..., 1], [[20, -20], [-4, 4]], atol=1e-5)


def test_three_channels_by_hand(tmp_path):
    """Red is u, green v; blue, the magnitude, is not read."""
    red, green = np.array([[128, 0], [255, 144]]), np.array([[112, 128], [128, 136]])
    path = write_image(tmp_path / "00001.png", red, green, np.full((2, 2), 77))
    read = read_flow((path,))
    assert read[..., 0].tolist() == [[0, -8], [7.9375, 1]]
    assert read[..., 1].tolist() == [[-1, 0], [0, 0.5]]
    # mirrored, red c is 256 - c
    mirrored = write_image(tmp_path / "2.png", 256 - red[1:, ::-1], green[1:, ::-1], red[1:])
    assert np.array_equal(read_flow((mirrored,)), flip_flow(read[1:]))


def test_three_channel_jpeg_is_within_its_rounding(tmp_path, field):
    path = write_image(tmp_path / "00001.jpg", *three_channels(field))
    assert np.abs(read_flow((path,)) - field).mean() < 0.1  # a code is 1/16 pixel


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["9.flo", "10.flo"], [["9.flo"], ["10.flo"]]),
        (["00001.jpg", "00002.jpg"], [["00001.jpg"], ["00002.jpg"]]),
        (
            ["flow_x_0001.jpg", "flow_y_0001.jpg", "flow_x_0002.jpg", "flow_y_0002.jpg"],
            [["flow_x_0001.jpg", "flow_y_0001.jpg"], ["flow_x_0002.jpg", "flow_y_0002.jpg"]],
        ),
        (
            ["u_9.png", "v_9.png", "u_10.png", "v_10.png"],
            [["u_9.png", "v_9.png"], ["u_10.png", "v_10.png"]],
        ),
        (["u/1.jpg", "v/1.jpg"], [["u/1.jpg", "v/1.jpg"]]),
        (["frame000001.jpg"], [["frame000001.jpg"]]),
        (["v_Diving_g01_c01_0001.jpg"], [["v_Diving_g01_c01_0001.jpg"]]),
        (["img_1.jpg", "flow_x_1.jpg", "flow_y_1.jpg"], [["flow_x_1.jpg", "flow_y_1.jpg"]]),
    ],
)
def test_forms_are_told_apart(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = flow_files(tmp_path)
    assert [[p.relative_to(tmp_path).as_posix() for p in files] for files in found] == expected


def test_converted_flow_is_read_back(tmp_path, flow_folder, video, field):
    root = tmp_path / "stored"
    store = FlowStore(root, FlowFiles("brox", flow_folder))
    report = store.precompute([("x/run/gray", video)])
    assert (report.made, report.failed) == (1, [])
    assert store.precompute([("x/run/gray", video)]).present == 1
    again = FlowStore(root, FlowFiles("brox")).read(video, "x/run/gray", [0, 18])
    error = np.linalg.norm(again - np.stack([field / 20, field * 19 / 20]), axis=-1)
    assert error.mean() < codec_error(20) + 0.1
    assert again[1, 24, 32, 0] > 4


def test_methods_never_mix(tmp_path, flow_folder, video):
    root = tmp_path / "stored"
    FlowStore(root, FlowFiles("brox", flow_folder)).make(video, "k", "coded")
    assert [p.relative_to(root).as_posix() for p in root.rglob("*.zip")] == ["brox/k.zip"]
    with pytest.raises(FlowError, match=r"'tvl1' of .*gray\.mp4 was made elsewhere"):
        FlowStore(root, FlowFiles("tvl1")).read(video, "k", [0])
    (root / "brox").rename(root / "tvl1")
    with pytest.raises(FlowError, match="flow with method brox, wanted tvl1"):
        FlowStore(root, FlowFiles("tvl1")).read(video, "k", [0])
    with pytest.raises(FlowError, match="cannot be computed"):
        FlowStore(None, FlowFiles("brox", flow_folder)).read(video, "k", [0])


@pytest.mark.parametrize("name", ["dis", "raft_large", "../dis", "", "a/b"])
def test_flow_made_elsewhere_never_passes_for_what_is_computed_here(name):
    with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
        FlowFiles(name)


def test_pairs_of_another_bound_are_told_when_converting(tmp_path, flow_folder, video):
    root = tmp_path / "stored"
    FlowStore(root, FlowFiles("tvl1", flow_folder, 20)).make(video, "k", "coded")
    (line,) = FlowStore(root, FlowFiles("tvl1", flow_folder, 15)).precompute([("k", video)]).failed
    assert "pairs within 20 pixels, wanted 1, pairs within 15 pixels" in line


def test_flow_that_does_not_fit_is_refused(tmp_path, flow_folder, video):
    store = FlowStore(tmp_path / "stored", FlowFiles("brox", flow_folder))
    folder = flow_folder / "run/gray"
    write_image(folder / "00007.jpg", np.zeros((40, 64)))
    with pytest.raises(FlowError, match=r"00007\.jpg: is of 40 x 64 pixels, its video of 48 x 64"):
        store.make(video, "k", "coded")
    (folder / "00007.jpg").unlink()
    (folder / "00008.jpg").unlink()
    with pytest.raises(FlowError, match="18 fields for a video of 20 frames"):
        store.make(video, "k", "coded")
    assert store.precompute([("k", video)]).failed
    assert list((tmp_path / "stored").rglob("*zip*")) == []


def test_files_that_are_no_flow(tmp_path):
    with pytest.raises(FlowError, match="no such folder of flow"):
        flow_files(tmp_path / "none")
    with pytest.raises(FlowError, match="holds no flow"):
        flow_files(tmp_path)
    (tmp_path / "flow_x_1.jpg").touch()
    with pytest.raises(FlowError, match="field 1 lacks its u or its v"):
        flow_files(tmp_path)
    with pytest.raises(FlowError, match=r"flow_x_1.jpg: the flow image cannot be read"):
        read_flow((tmp_path / "flow_x_1.jpg",))
    path = write_flo(tmp_path / "a.flo", np.zeros((3, 4, 2)))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FlowError, match="do not hold 3 x 4 fields"):
        read_flow((path,))
    path.write_bytes(b"no flow at all")
    with pytest.raises(FlowError, match=r"not a \.flo file"):
        read_flow((path,))
