"""What must be known of a model besides its weights, whichever file it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

from pcsc_d2.layers.segments import SegmentSizes
from pcsc_d2.tubes import LinkOptions, RefineOptions
from pcsc_d2.tubes.checks import require


class ModelError(ValueError):
    """A model that cannot be loaded or exported; one line that names the file and what to do."""


@dataclass(frozen=True)
class ModelInfo:
    """What must be known to feed a model, to read its answers and to make tubes of them.

    Attributes:
        labels: class names, by class number.
        clip_length: T, frames at stride 1 around the key frame, which is frame T // 2 (0-based).
        min_size: pixels of the shorter side that clips are resized to (INPUT.MIN_SIZE_TEST); 0
            leaves them as they are.
        max_size: pixels that the longer side may have (INPUT.MAX_SIZE_TEST).
        flow_method: a name that ``pcsc_d2.flow.methods`` knows, or of flow that was made elsewhere.
        flow_bound: pixels that flow is clipped to and held in 8 bits within; 0: neither.
        context: frames at either end of the T that only the levels up to c3 see; with 10, a window
            gives what its clips give, with 0 it does not quite (see ``layers/window_trunk.py``).
        actionness: whether detections carry it.
        link: how detections become tubes (TEST.TUBES).
        refine: how actionness cuts tubes; None where it is not to, or the model does not say.
        segments: sizes of the network that cuts whole tubes (temporal cooperation), whose features
            detections carry; None without one.
        kinetics: whether detections carry logits of the Kinetics classes, since the RGB trunk is
            that of the Kinetics weights.
        note: what the model is, for people; shown on the page.
        device: kind of device that it was made for, ``"cpu"`` or ``"cuda"``; an exported network
            runs on no other.
        time_pool: how the trunks' maps lose time, ``"mean"`` or ``"middle"`` (MODEL.I3D.TIME_POOL).

    Raises:
        ValueError: a number that cannot be.
    """

    labels: tuple[str, ...]
    clip_length: int
    min_size: int
    max_size: int
    flow_method: str
    flow_bound: float = 20.0
    context: int = 0
    actionness: bool = False
    link: LinkOptions = field(default_factory=LinkOptions)
    refine: RefineOptions | None = None
    kinetics: bool = False
    note: str = ""
    device: str = "cpu"
    time_pool: str = "mean"
    segments: SegmentSizes | None = None

    def __post_init__(self) -> None:
        require(len(self.labels) > 0, "there are no labels")
        for name, least in (("clip_length", 1), ("min_size", 0), ("max_size", 1), ("context", 0)):
            value = getattr(self, name)
            require(value >= least, f"{name} is {value}; at least {least}")
        pool = self.time_pool
        require(pool in ("mean", "middle"), f"time_pool is {pool!r}; 'mean' or 'middle'")
        if self.segments is not None:
            count, classes = len(self.labels), self.segments.num_classes
            require(classes == count, f"segments are of {classes} classes, and labels {count}")
        require(self.flow_bound >= 0, f"flow_bound is {self.flow_bound:g}; 0 or more pixels")
