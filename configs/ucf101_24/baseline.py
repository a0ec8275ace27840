"""baseline.yaml as a LazyConfig."""

from ..common.clips import dataloader
from ..common.schedule import lr_multiplier, optimizer, train
from ..common.two_stream_rcnn import model

model.roi_heads.num_classes = 24
dataloader.train.dataset.names = ["ucf101_24_train"]
dataloader.test.dataset.names = "ucf101_24_test"
# Six epochs of its 340,336 annotated frames.
train.max_iter = train.eval_period = 680_672
lr_multiplier.warmup_length = 500 / train.max_iter

train.output_dir = "output/ucf101_24_baseline_lazy"
dataloader.evaluator.output_dir = "output/ucf101_24_baseline_lazy/inference"
