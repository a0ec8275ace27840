"""baseline.yaml as a LazyConfig."""

from ..common.clips import dataloader
from ..common.schedule import lr_multiplier, optimizer, train
from ..common.two_stream_rcnn import model

train.output_dir = "output/jhmdb_baseline_lazy"
dataloader.evaluator.output_dir = "output/jhmdb_baseline_lazy/inference"
