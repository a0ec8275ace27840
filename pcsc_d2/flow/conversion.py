"""Flow that other programs made, read into the store under a method name of its own.

Three forms, recognised by the files of a video's folder:

.flo
    Middlebury's: float32 202021.25, int32 width and height, then u and v of each pixel,
    interleaved, little endian. Values above 1e9 mean "unknown" and become 0.
pairs
    Two 8-bit gray images a field, u and v, -bound to +bound as 0 to 255: in one folder
    (``flow_x_00001.jpg``, ``flow_y_00001.jpg``; also ``x_``, ``y_``, ``u_``, ``v_``) or in two
    (``u/00001.jpg``, ``v/00001.jpg``). No code is exactly 0.
three channels
    The images of Gkioxari and Malik (Finding Action Tubes, CVPR 2015), which ACT-detector and
    MOC-detector distribute as JPEG: red is u, green v, blue the magnitude, each 16 times the
    pixels plus 128, cut to 0 to 255 (that is -8 to +7.9 pixels). Mirrored left to right, red c
    becomes 256 - c (those two programs compute 255 - c, a sixteenth of a pixel off). Readers that
    give BGR, as OpenCV, have u in channel 2. The magnitude is not needed.

Distributed folders have a field for every pair of frames, and some one more for the last frame,
which is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pcsc_d2.flow.errors import FlowError
from pcsc_d2.flow.methods import FLOW_METHODS
from pcsc_d2.utils.parsing import reading
from pcsc_d2.video.files import is_hidden, is_image_file, video_name

_MAGIC = np.float32(202021.25)
_UNKNOWN = 1e9
# Not any name that begins with v_, as those of UCF101 do.
_SIDE = re.compile(r"(?:flow_?)?([xyuv])_?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class FlowFiles:
    """A flow method that reads fields instead of computing them.

    ``FlowStore(root / "flow", FlowFiles("brox", folder)).precompute(videos, rule)`` converts; a
    store with the same name and without a folder reads what was converted.

    Attributes:
        name: of the method; the fields of methods of different names never mix. ValueError for
            the name of a method that is computed here, whose flow this would pass for.
        folder: with ``<class>/<video>/`` for each video; None where all is converted.
        bound: of 8-bit pairs, in pixels.
    """

    name: str
    folder: Path | None = None
    bound: float = 20.0

    in_process = False

    def __post_init__(self) -> None:
        if self.name in FLOW_METHODS or not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ValueError(
                f"flow that was made elsewhere cannot be named '{self.name}'; take a plain name "
                f"other than {', '.join(FLOW_METHODS)}"
            )

    @property
    def version(self) -> str | None:
        """So that files converted with another bound are told; None where nothing is converted."""
        return None if self.folder is None else f"1, pairs within {self.bound:g} pixels"

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The fields of a ``VideoSource``, (H, W, 2) float32 in pixels, one fewer than frames.

        Raises:
            FlowError: there are none, too few or too many, or of another size than the frames.
        """
        path = getattr(frames, "path", None)
        if self.folder is None or path is None:
            raise FlowError(
                f"flow '{self.name}' of {path or 'these frames'} was made elsewhere and cannot be "
                "computed; convert it first, see docs/pages/datasets.md"
            )
        folder = self.folder / video_name(path)
        fields, needed = flow_files(folder), len(frames) - 1
        if len(fields) - needed not in (0, 1):
            raise FlowError(
                f"{folder}: {len(fields)} fields for a video of {needed + 1} frames; was it made "
                "from frames counted by another rule?"
            )
        for files in fields[:needed]:
            field = read_flow(files, self.bound)
            if field.shape[:2] != frames.size:
                size = f"{field.shape[0]} x {field.shape[1]}"
                wanted = f"{frames.size[0]} x {frames.size[1]}"
                raise FlowError(f"{files[0]}: is of {size} pixels, its video of {wanted}")
            yield field


def flow_files(folder: Path) -> list[tuple[Path, ...]]:
    """The file, or the u and the v file, of each field of a video, in order.

    Raises:
        FlowError: no flow there, or u without v.
    """
    if not folder.is_dir():
        raise FlowError(f"{folder}: no such folder of flow")
    shown = [p for p in folder.iterdir() if not is_hidden(p.name)]
    files = sorted((p for p in shown if p.suffix.lower() == ".flo"), key=_number)
    images = [p for p in (*shown, *folder.glob("[xyuvXYUV]/*")) if is_image_file(p.name)]
    sides = {path: _side(path, folder) for path in images}
    if files or not any(sides.values()):
        files = files or sorted(images, key=_number)
        if not files:
            raise FlowError(f"{folder}: holds no flow (.flo, jpg or png)")
        return [(path,) for path in files]
    horizontal = {_number(p): p for p, side in sides.items() if side in ("x", "u")}
    vertical = {_number(p): p for p, side in sides.items() if side in ("y", "v")}
    single = horizontal.keys() ^ vertical.keys()
    if single:
        raise FlowError(f"{folder}: field {min(single)} lacks its u or its v image")
    return [(horizontal[i], vertical[i]) for i in sorted(horizontal)]


def read_flow(files: tuple[Path, ...], bound: float = 20.0) -> np.ndarray:
    """A field, (H, W, 2) float32 in pixels, from a file or from the files of u and v.

    Raises:
        FlowError: a file that cannot be read, or two of different sizes.
    """
    if len(files) == 2:
        u, v = (_image(path, cv2.IMREAD_GRAYSCALE) for path in files)
        if u.shape != v.shape:
            raise FlowError(f"{files[0]}: u and v are of different sizes")
        return np.stack([u, v], axis=-1).astype(np.float32) * np.float32(bound / 127.5) - bound
    if files[0].suffix.lower() == ".flo":
        return _read_flo(files[0])
    blue_green_red = _image(files[0], cv2.IMREAD_COLOR)
    return (blue_green_red[..., 2:0:-1].astype(np.float32) - 128) / 16


def _read_flo(path: Path) -> np.ndarray:
    with reading(path, "a .flo file", FlowError):
        data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data[:4], "<f4")[0] != _MAGIC:
        raise FlowError(f"{path}: not a .flo file")
    width, height = np.frombuffer(data[4:12], "<i4").tolist()
    if width < 1 or height < 1 or len(data) != 12 + 8 * width * height:
        raise FlowError(f"{path}: {len(data)} bytes do not hold {height} x {width} fields; damaged")
    field = np.frombuffer(data[12:], "<f4").reshape(height, width, 2).astype(np.float32)
    field[~(np.abs(field) <= _UNKNOWN).all(-1)] = 0
    return field


def _image(path: Path, mode: int) -> np.ndarray:
    with reading(path, "an image", FlowError):
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, mode) if data.size else None
    if image is None:
        raise FlowError(f"{path}: the flow image cannot be read; fetch it again")
    return image


def _side(path: Path, folder: Path) -> str:
    """Of an image of a pair, which it is: x, y, u or v; else ""."""
    if path.parent != folder:
        return path.parent.name.lower()
    match = _SIDE.fullmatch(path.stem)
    return match.group(1).lower() if match else ""


def _number(path: Path) -> int:
    """The last number in a file's name; FlowError where there is none."""
    numbers = re.findall(r"\d+", path.stem)
    if not numbers:
        raise FlowError(f"{path}: the name has no frame number")
    return int(numbers[-1])
