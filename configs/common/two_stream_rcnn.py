"""The baseline's model, "Faster R-CNN + FPN" with I3D in both streams, and what makes PCSC of it.

As ../Base-PCSC-I3D-FPN.yaml builds them; a test holds the two together.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers
from torch import nn

from pcsc_d2.layers import InceptionI3D, MessagePassing
from pcsc_d2.modeling import I3DFPN, CooperationROIHeads, I3DTrunk, TwoStreamRCNN
from pcsc_d2.modeling.cooperation_roi_heads import DetectionHead
from pcsc_d2.modeling.proposal_cooperation import BoxSelection, selection_pair
from pcsc_d2.modeling.stream import Stream

# Of I3D's taps, and of the pyramids.
TAPS = {"c2": 192, "c3": 480, "c4": 832, "c5": 1024}
CHANNELS = 256
# What is in a dict without a target of its own is not made.
mapping = L("builtins.dict")


def rpn():
    return L(RPN)(
        in_features=["p2", "p3", "p4", "p5", "p6"],
        head=L(StandardRPNHead)(in_channels=CHANNELS, num_anchors=8),
        anchor_generator=L(DefaultAnchorGenerator)(
            sizes=[[24, 34], [48, 68], [80, 112], [128, 170], [200, 260]],
            aspect_ratios=[[0.7, 1.3, 2.0, 3.0]],
            strides=[4, 8, 16, 32, 64],
            offset=0.5,
        ),
        anchor_matcher=L(Matcher)(
            thresholds=[0.5, 0.5], labels=[0, -1, 1], allow_low_quality_matches=True
        ),
        box2box_transform=L(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
        batch_size_per_image=256,
        positive_fraction=0.5,
        # In training and in testing.
        pre_nms_topk=[1000, 1000],
        post_nms_topk=[1000, 100],
        nms_thresh=0.7,
    )


def stream(name, channels, mean, std):
    # weights="kinetics" starts the trunk from Kinetics' (pcsc weights kinetics).
    return L(Stream)(
        name=name,
        source=name,
        backbone=L(I3DFPN)(
            bottom_up=L(I3DTrunk)(
                trunk=L(InceptionI3D)(in_channels=channels, width=1.0, norm="FrozenBN"),
                time_pool="mean",
            ),
            out_channels=CHANNELS,
        ),
        proposal_generator=rpn(),
        pixel_mean=[mean] * channels,
        pixel_std=[std] * channels,
        # Flow alone is cut, at 20 pixels.
        bounded=name == "flow",
        weights="",
    )


def head():
    return L(DetectionHead)(
        box_head=L(FastRCNNConvFCHead)(
            input_shape=ShapeSpec(channels=CHANNELS, height=7, width=7),
            conv_dims=[],
            fc_dims=[1024, 1024],
        ),
        predictor=L(FastRCNNOutputLayers)(
            input_shape=ShapeSpec(channels=1024),
            box2box_transform=L(Box2BoxTransform)(weights=[10.0, 10.0, 5.0, 5.0]),
            # Of the ROI heads.
            num_classes="${....num_classes}",
            cls_agnostic_bbox_reg=True,
            test_score_thresh=0.01,
            test_nms_thresh=0.5,
            test_topk_per_image=100,
            loss_weight={"loss_box_reg": 1.0},
        ),
    )


def selection(nms_thresh):
    return L(selection_pair)(
        test=L(BoxSelection)(score_thresh=0.05, nms_thresh=nms_thresh, topk=20),
        # The best always train the next stage, whatever their scores.
        train=L(BoxSelection)(score_thresh=-1.0, nms_thresh=nms_thresh, topk=20),
    )


def add_cooperation(model, stages):
    """Make PCSC of the baseline, in place."""
    model.image_messages = L(nn.ModuleDict)(
        modules=mapping(**{level: L(MessagePassing)(channels=n) for level, n in TAPS.items()})
    )
    model.roi_heads.stage_heads = [head() for _ in range(stages)]
    # Each stream learns its own cue first; the later heads then start from its own.
    model.warmup_iters = 2000
    model.roi_heads.roi_messages = [L(MessagePassing)(channels=CHANNELS) for _ in range(stages)]


model = L(TwoStreamRCNN)(
    rgb=stream("rgb", 3, 127.5, 127.5),
    flow=stream("flow", 2, 0.0, 20.0),
    roi_heads=L(CooperationROIHeads)(
        num_classes=21,
        batch_size_per_image=512,
        positive_fraction=0.25,
        proposal_matcher=L(Matcher)(
            thresholds=[0.5], labels=[0, 1], allow_low_quality_matches=False
        ),
        proposal_append_gt=True,
        box_in_features=["p2", "p3", "p4", "p5"],
        box_pooler=L(ROIPooler)(
            output_size=7,
            scales=[1 / 4, 1 / 8, 1 / 16, 1 / 32],
            sampling_ratio=0,
            pooler_type="ROIAlignV2",
            canonical_box_size=112,
        ),
        stage0_heads=mapping(rgb=head(), flow=head()),
        stage_heads=[],
        roi_messages=[],
        own_selection=selection(0.5),
        cross_selection=selection(0.3),
        output_mode="union",
        test_proposals=100,
    ),
    vis_period=500,
    warmup_iters=0,
)
