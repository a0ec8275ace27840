"""Clips of 16 frames, trained on and evaluated as in ../Base-PCSC-I3D-FPN.yaml."""

from detectron2.config import LazyCall as L
from detectron2.data import get_detection_dataset_dicts
from detectron2.data import transforms as T
from omegaconf import OmegaConf

from pcsc_d2.data import ClipMapper, build_clip_test_loader, build_clip_train_loader
from pcsc_d2.data.datasets import dataset_cache
from pcsc_d2.evaluation import TubeEvaluator
from pcsc_d2.flow.store import FlowStore
from pcsc_d2.tubes import LinkOptions


def mapper(is_train):
    resize = L(T.ResizeShortestEdge)(short_edge_length=[240], max_size=400, sample_style="choice")
    return L(ClipMapper)(
        is_train=is_train,
        augmentations=[resize, L(T.RandomFlip)(horizontal=True)] if is_train else [resize],
        clip_length=16,
        # Computed on first use, and kept beside the videos.
        flow=L(FlowStore)(folder=L(dataset_cache)(kind="flow"), method="dis", bound=20.0),
    )


dataloader = OmegaConf.create()

dataloader.train = L(build_clip_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names=["jhmdb_split1_train"], filter_empty=True),
    mapper=mapper(True),
    total_batch_size=3,
    num_workers=4,
    seed=1,
)

dataloader.test = L(build_clip_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="jhmdb_split1_test", filter_empty=False),
    mapper=mapper(False),
    name="${.dataset.names}",
    batch_size=4,
    num_workers=4,
)

dataloader.evaluator = L(TubeEvaluator)(
    dataset_name="${..test.dataset.names}",
    output_dir="output/inference",
    link_options=L(LinkOptions)(gap=3, min_length=10),
)
