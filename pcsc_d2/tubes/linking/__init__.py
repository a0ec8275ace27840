"""Frame detections to action tubes: online, offline, and as a stream (Singh et al., 2017)."""

from pcsc_d2.tubes.linking.offline import link
from pcsc_d2.tubes.linking.online import LinkedFrame, OnlineLinker
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.linking.streaming import StreamStep, TubeStream

__all__ = ["LinkOptions", "LinkedFrame", "OnlineLinker", "StreamStep", "TubeStream", "link"]
