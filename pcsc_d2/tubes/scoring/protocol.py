"""The conventions that decide a number, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How detections are held against ground truth.

    A detection is right if its IoU is at least the threshold, in every protocol.

    Attributes:
        name: what a table says beside the number.
        plus_one: corners are inclusive in the spatial IoU.
        rematch: a ground truth that is matched is taken out, and a later detection may match the
            next best one (ACT-detector). Otherwise a detection is compared with the ground truth
            that it overlaps most, and is wrong if that is taken (PASCAL VOC).
        envelope: AP is the area under the envelope of the precision-recall points (PASCAL VOC 2010
            on). Otherwise the area by the trapezoid rule over the raw points from (precision 1,
            recall 0) on (ACT-detector).
        tube_nms: tubes of one video and class that overlap a better one by more than this tube IoU
            are dropped before they are scored (ACT-detector); None keeps them all.
    """

    name: str
    plus_one: bool
    rematch: bool
    envelope: bool
    tube_nms: float | None


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # ACT-detector and MOC-detector: what papers on UCF101-24 and J-HMDB quote.
        Protocol("act", plus_one=True, rematch=True, envelope=False, tube_nms=0.3),
        Protocol("voc", plus_one=True, rematch=False, envelope=True, tube_nms=None),
        # MultiSports and 3D-RetinaNet overlap boxes without the 1.
        Protocol("voc_no_plus_one", plus_one=False, rematch=False, envelope=True, tube_nms=None),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name; ValueError lists the names where there is none."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol '{protocol}'; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
