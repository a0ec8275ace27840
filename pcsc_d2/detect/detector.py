"""Frames in, action tubes out: the Python interface, and what the command is built on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pcsc_d2.detect.clips import Window, resize_frames, windows
from pcsc_d2.detect.exchange.supervision import detections
from pcsc_d2.detect.kinetics import Guess, PathGuesses
from pcsc_d2.detect.profile import Profile
from pcsc_d2.detect.sources import ArraySource, FileSource, Frame, Source
from pcsc_d2.flow.methods import FLOW_METHODS
from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.models.clip_model import ClipDetections, ClipModel, detect_window
from pcsc_d2.models.kinetics import KineticsTrunk
from pcsc_d2.models.loading import load_model
from pcsc_d2.runtime import Engine
from pcsc_d2.tubes import LinkOptions, Tubes, TubeStream
from pcsc_d2.tubes.assembly import concatenate
from pcsc_d2.utils.background import background

if TYPE_CHECKING:
    import supervision

logger = logging.getLogger(__name__)
# Frames (decoded, and resized with their flow) and windows that a part may be ahead of the next.
_FRAMES_AHEAD, _WINDOWS_AHEAD = 8, 2
# Score of the least boxes that are linked: far more of them would be drawn than mean anything.
MIN_BOX_SCORE = 0.05
_EMPTY = ClipDetections(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True)
class DetectOptions:
    """How videos are looked at.

    Attributes:
        every: frames from one key frame to the next (the last frame is one, too); boxes between
            are interpolated.
        classes: names of those to be found; empty for all.
        min_score: of a tube, the mean of its best boxes' scores.
        batch: key frames that go through the network at once.
        flow: how flow is computed, where it cannot be as in training; empty for the model's way.
        link: how detections become tubes; None is as the model was evaluated, but for boxes under
            ``MIN_BOX_SCORE``, which are not looked at, and for temporal labelling, which would
            need the whole video at once and is left out.
        refine: cut tubes by actionness or segments where the model has them, as it was trained to.
        kinetics: also name tubes by Kinetics' 400 classes. Where the model's RGB trunk is that of
            the Kinetics weights, its maps are used; else that trunk runs besides.
        persons: also join the tubes of a video that follow one actor, see ``tubes.persons``.
    """

    every: int = 1
    classes: tuple[str, ...] = ()
    min_score: float = 0.3
    batch: int = 4
    flow: str = ""
    link: LinkOptions | None = None
    refine: bool = True
    kinetics: bool = False
    persons: bool = False

    def __post_init__(self) -> None:
        for name in ("every", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1")


class StreamResult(NamedTuple):
    """What is known when a key frame of a stream has been looked at.

    Attributes:
        frame: 1-based number of the key frame.
        time: seconds since the first frame.
        boxes: (n, 4) x1 y1 x2 y2 of what was found, in pixels of the frame, corners inclusive.
        labels: n class names.
        scores: (n,) of the boxes.
        paths: (n,) the path that each belongs to; a path becomes a tube if it lasts.
        ended: tubes that have ended by now, and will not change any more.
        kinetics: of each of them the best of Kinetics' names, best first; None where they were
            not asked for.
    """

    frame: int
    time: float
    boxes: np.ndarray
    labels: list[str]
    scores: np.ndarray
    paths: np.ndarray
    ended: Tubes
    kinetics: list[list[Guess]] | None = None

    def to_supervision(self) -> supervision.Detections:
        """The key frame's boxes for supervision; the trackers' ids are the paths."""
        names = self.ended.labels.tolist()
        classes = np.array([names.index(label) for label in self.labels], int)
        return detections(self.boxes, self.scores, classes, self.labels, self.paths)


class ActionDetector:
    """Detect actions in videos:

        detector = ActionDetector("model.pt")
        tubes = detector("video.mp4")           # or an iterable of (H, W, 3) uint8 RGB frames
        for moment in detector.stream(camera):  # as the frames come
            print(moment.time, moment.labels, moment.boxes)

    Decoding, flow and network each have a thread of their own; each frame is decoded, resized and
    has its flow computed once. Memory does not grow with the video.

    Args:
        model: a loaded model, or what ``load_model`` takes: an exported file, a folder of a
            training run, or a config and weights.
        options: how videos are looked at.
        device: for loading; None takes a GPU where there is one.
        dense: for loading; what neighbouring key frames share, None for nothing.
        engine, precision: for loading; what runs the network on a CPU, and in which precision: see
            ``load_model``.
        profile: where the parts' times are counted, also those inside the network where it has
            such (``CheckpointModel.parts``).

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: the engine cannot run here, or not this model.
        ValueError: the model does not know one of the classes, or its flow cannot be computed.
    """

    def __init__(
        self,
        model: ClipModel | str | Path | Sequence[str | Path],
        options: DetectOptions | None = None,
        device: str | torch.device | None = None,
        dense: Sharing | None = None,
        profile: Profile | None = None,
        engine: str | None = None,
        precision: str = "float32",
    ) -> None:
        self.options = options or DetectOptions()
        self.profile = profile or Profile()
        if isinstance(model, (str, Path)):
            model = [model]
        if isinstance(model, Sequence):
            model = load_model(model, device, dense, engine, precision, self.options.kinetics)
        self.model: ClipModel = model
        self.engine: Engine = getattr(model, "engine", Engine())
        self._inside = getattr(self.model, "parts", dict)() if profile else {}
        for name, modules in self._inside.items():
            for module in modules:
                self.profile.watch(name, module)
        self._wanted = _wanted(self.model.info.labels, self.options.classes)
        self._flow = self.options.flow or self.model.info.flow_method
        if self._flow not in FLOW_METHODS:
            known = ", ".join(FLOW_METHODS)
            raise ValueError(f"flow '{self._flow}' cannot be computed; choose another: {known}")
        self._trunk = self._own_trunk() if self.options.kinetics else None
        if self.options.link is None and self.model.info.link.temporal_alpha is not None:
            logger.warning("tubes are not labelled in time (TEST.TUBES.TEMPORAL_LABELLING) here")

    def __call__(self, frames: str | Path | Source | Iterable[np.ndarray]) -> Tubes:
        """The tubes of a video, by class, from a file, a folder of frames, or frames.

        Raises:
            VideoError: not a video, or not one frame. Of one that breaks off, what was found
                before that is returned.
        """
        return concatenate([moment.ended for moment in self.stream(frames)])

    def stream(
        self,
        frames: str | Path | Source | Iterable[np.ndarray],
        ahead: int = _FRAMES_AHEAD,
    ) -> Iterator[StreamResult]:
        """What is found at each key frame, as the frames come.

        A clip reaches T - T // 2 - 1 frames beyond its key frame and the flow one more, which is
        how far a moment lags behind, besides the rest of its batch: ``batch=1`` is for live
        streams. The last moment has no boxes; it brings the tubes that were still going.

        Args:
            frames: as in a call.
            ahead: frames that decoding and flow may each be ahead of what follows them; where
                frames are dropped and not queued, fewer are less lag.
        """
        source = _source(frames)
        links = self._tube_stream()
        guesses = PathGuesses() if self.options.kinetics else None
        number, time = 1, 0.0
        for number, time, found in self.detections(source, ahead):
            with self.profile.part("link"):
                step = links.update(number, *found[:4], found.features)
                linked = step.linked
                if guesses is not None:
                    guesses.update(linked, found)
                ended = self._ended(step.ended, links.ended_paths, guesses)
                if guesses is not None:
                    guesses.forget(linked.ended)
            labels = [self.model.info.labels[c] for c in found.classes[linked.index].tolist()]
            yield StreamResult(
                number,
                time,
                found.boxes[linked.index],
                labels,
                found.scores[linked.index],
                linked.path,
                *ended,
            )
        empty = (_EMPTY.boxes, [], _EMPTY.scores, _EMPTY.classes)
        last = links.finish()
        yield StreamResult(number, time, *empty, *self._ended(last, links.ended_paths, guesses))

    def detections(
        self, source: Source, ahead: int = _FRAMES_AHEAD
    ) -> Iterator[tuple[int, float, ClipDetections]]:
        """Number, time and detections of each key frame, before they are linked."""
        options, info = self.options, self.model.info
        frames: Iterator[Frame] = self.profile.timed("decode", source)
        info = replace(info, flow_method=self._flow)
        resized = resize_frames(background(frames, ahead), info, self.profile)
        clips = windows(background(resized, ahead), info.clip_length, options.every, options.batch)
        ready = background(clips, min(ahead, _WINDOWS_AHEAD))
        try:
            for window in ready:
                found = self._detect(window)
                yield from zip(window.numbers, window.times, found)
        finally:
            ready.close()

    def _detect(self, window: Window) -> list[ClipDetections]:
        keys = window.key_frames
        with self.profile.part("network", len(keys)):
            found = detect_window(self.model, window.rgb, window.flow, keys, window.size)
            found = [self._chosen(each) for each in found]
            if self._trunk is not None:
                found = self._trunk.add(window.rgb, keys, found, window.size)
        for name in self._inside:
            with self.profile.part(name, len(keys)):
                pass  # the calls of its modules were no items
        return found

    def _own_trunk(self) -> KineticsTrunk | None:
        """The Kinetics trunk, where the model's own maps are not its."""
        info = self.model.info
        if info.kinetics:
            return None
        logger.warning("the model's RGB trunk is not Kinetics': a trunk more runs for its names")
        return KineticsTrunk(info.clip_length, info.device)

    def _chosen(self, found: ClipDetections) -> ClipDetections:
        keep = self._wanted[found.classes] & np.isfinite(found.scores)
        keep &= np.isfinite(found.boxes).all(axis=1)
        return ClipDetections(*(None if column is None else column[keep] for column in found))

    def _tube_stream(self) -> TubeStream:
        labels, link = self.model.info.labels, self._link_options()
        refine = self.model.info.refine if self.options.refine else None
        judge = getattr(self.model, "judge", None) if refine is not None else None
        return TubeStream(labels, link, refine, judge=judge)

    def _link_options(self) -> LinkOptions:
        link = self.options.link
        if link is None:
            trained = self.model.info.link
            link = replace(trained, min_score=MIN_BOX_SCORE, temporal_alpha=None)
        return link if self.options.every == 1 else replace(link, interpolate=True)

    def _ended(
        self, tubes: Tubes, paths: np.ndarray, guesses: PathGuesses | None
    ) -> tuple[Tubes, list[list[Guess]] | None]:
        """The tubes of high scores, and Kinetics' names for them."""
        sure = tubes.scores >= self.options.min_score
        names = None if guesses is None else guesses.of(paths[sure])
        return tubes.take(sure) if len(tubes) else tubes, names


def _wanted(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    unknown = sorted(set(classes) - set(labels))
    if unknown:
        raise ValueError(f"the model does not know '{unknown[0]}'; it knows {', '.join(labels)}")
    return np.array([not classes or label in classes for label in labels])


def _source(frames: str | Path | Source | Iterable[np.ndarray]) -> Source:
    if isinstance(frames, (str, Path)):
        return FileSource(Path(frames))
    return frames if hasattr(frames, "expected") else ArraySource(frames)
