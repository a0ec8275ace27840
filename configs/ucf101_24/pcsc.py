"""pcsc.yaml as a LazyConfig."""

from ..common.two_stream_rcnn import add_cooperation
from .baseline import dataloader, lr_multiplier, model, optimizer, train

add_cooperation(model, stages=4)

train.output_dir = "output/ucf101_24_pcsc_lazy"
dataloader.evaluator.output_dir = "output/ucf101_24_pcsc_lazy/inference"
