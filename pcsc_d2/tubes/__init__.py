"""Action tubes: structures, linking, refinement and scores, for any detector. NumPy alone."""

from pcsc_d2.tubes.detections import Detections
from pcsc_d2.tubes.ground_truth import GroundTruth
from pcsc_d2.tubes.linking.offline import link
from pcsc_d2.tubes.linking.online import LinkedFrame, OnlineLinker
from pcsc_d2.tubes.linking.options import LinkOptions
from pcsc_d2.tubes.linking.streaming import Judge, StreamStep, TubeStream
from pcsc_d2.tubes.persons import PersonOptions, find_persons
from pcsc_d2.tubes.refinement import (
    Refinement,
    RefineOptions,
    label_boxes,
    refine,
    truth_overlaps,
)
from pcsc_d2.tubes.scoring.metrics import Score, ScoresByIou, frame_map, video_map
from pcsc_d2.tubes.scoring.protocol import PROTOCOLS, Protocol
from pcsc_d2.tubes.scoring.refinement_search import (
    RefinementSearch,
    choose_refinement,
    refinement_stats,
    temporal_overlap,
)
from pcsc_d2.tubes.structures import Tubes

__all__ = [
    "PROTOCOLS",
    "Detections",
    "GroundTruth",
    "Judge",
    "LinkOptions",
    "LinkedFrame",
    "OnlineLinker",
    "PersonOptions",
    "Protocol",
    "RefineOptions",
    "Refinement",
    "RefinementSearch",
    "Score",
    "ScoresByIou",
    "StreamStep",
    "TubeStream",
    "Tubes",
    "choose_refinement",
    "find_persons",
    "frame_map",
    "label_boxes",
    "link",
    "refine",
    "refinement_stats",
    "temporal_overlap",
    "truth_overlaps",
    "video_map",
]
