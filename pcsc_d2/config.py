"""Every config key that this project adds to Detectron2's, with what it means."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_pcsc_config(cfg: CfgNode) -> None:
    """Add the keys of the two-stream action detector to a Detectron2 config, in place."""
    _add_input(cfg)
    _add_backbone(cfg)
    _add_cooperation(cfg)
    _add_solver_and_test(cfg)


def _add_input(cfg: CfgNode) -> None:
    # Frames T in a clip, at stride 1 around the key frame; the same for every clip of a run.
    cfg.INPUT.CLIP_LENGTH = 16
    cfg.INPUT.FLOW = CfgNode()
    # How optical flow is computed: a name known to pcsc_d2.video.flow.
    cfg.INPUT.FLOW.METHOD = "dis"
    # Folder that keeps computed flow. "auto": beside the videos where that is writable, else in
    # the user's cache folder (PCSC_CACHE overrides it); "none": computed on the fly.
    cfg.INPUT.FLOW.CACHE = "auto"
    # Decoded frames that each loading process keeps, in MiB, so that clips of one video decode
    # each frame once.
    cfg.INPUT.FRAME_CACHE_MB = 512


def _add_backbone(cfg: CfgNode) -> None:
    cfg.MODEL.I3D = CfgNode()
    # Factor on all channels of the trunk; 1.0 is the published network.
    cfg.MODEL.I3D.WIDTH = 1.0
    # BN, FrozenBN, SyncBN or GN.
    cfg.MODEL.I3D.NORM = "FrozenBN"
    # Modules up to this level (2 to 5) get no gradient; 0 freezes none.
    cfg.MODEL.I3D.FREEZE_AT = 0
    # How time is collapsed behind the taps: "mean", or "middle" for the slice in the middle.
    cfg.MODEL.I3D.TIME_POOL = "mean"
    # Frames at either end of INPUT.CLIP_LENGTH that only the levels up to c3 look at. With 8 or
    # more, dense video mode finds what clips one by one give; training computes more.
    cfg.MODEL.I3D.CONTEXT = 0

    cfg.MODEL.RGB = CfgNode()
    cfg.MODEL.RGB.SOURCE = "rgb"
    cfg.MODEL.RGB.PIXEL_MEAN = [127.5, 127.5, 127.5]
    cfg.MODEL.RGB.PIXEL_STD = [127.5, 127.5, 127.5]
    # Trunk weights of either public port of Kinetics I3D; used where MODEL.WEIGHTS is empty.
    cfg.MODEL.RGB.WEIGHTS = ""
    cfg.MODEL.FLOW = CfgNode()
    # What the second stream sees: "flow", or "rgb" for the ablation with two RGB streams (with
    # PIXEL_MEAN and PIXEL_STD of three channels).
    cfg.MODEL.FLOW.SOURCE = "flow"
    # Pixels. Normalised inputs are clipped to [-1, 1], so flow is clipped to +-20 pixels.
    cfg.MODEL.FLOW.PIXEL_MEAN = [0.0, 0.0]
    cfg.MODEL.FLOW.PIXEL_STD = [20.0, 20.0]
    cfg.MODEL.FLOW.WEIGHTS = ""


def _add_cooperation(cfg: CfgNode) -> None:
    cfg.MODEL.COOPERATION = node = CfgNode()
    # Stages after stage 0 (the paper's number is 4); 0 is the baseline if messages are off.
    node.NUM_STAGES = 0
    # Messages from flow to RGB at C2 to C5, before the top-down path.
    node.IMAGE_MESSAGES = False
    # Messages from the assistant stream's ROI features at each stage.
    node.ROI_MESSAGES = True
    # Whether a stage's proposals include the other stream's latest boxes.
    node.PROPOSALS = True
    # Channels between a message's two convolutions are C // MESSAGE_REDUCTION.
    node.MESSAGE_REDUCTION = 4
    # Which detection boxes become proposals: score, NMS within the own stream's boxes and the
    # lower threshold for the other stream's, boxes kept of an image.
    node.SCORE_THRESH = 0.05
    node.NMS_THRESH_OWN = 0.5
    node.NMS_THRESH_CROSS = 0.3
    node.TOPK_TRAIN = 20
    node.TOPK_TEST = 20
    # The control: as many stages, each stream keeping to itself. Overrides the switches above.
    node.OWN_STREAM_CONTROL = False
    # How the stages' detections are put together: "union" (the paper's), "average", "last_two".
    node.OUTPUT = "union"
    # Iterations that train stage 0 alone; the later heads then start from the stream's own.
    node.WARMUP_ITERS = 0


def _add_solver_and_test(cfg: CfgNode) -> None:
    # Where EPOCHS is over 0 it sets MAX_ITER, and STEP_EPOCHS (the epochs after which the rate
    # drops) sets STEPS, from the size of the training set; WARMUP_ITERS stays iterations.
    cfg.SOLVER.EPOCHS = 0.0
    cfg.SOLVER.STEP_EPOCHS = ()
    # Every stage's output is scored, from one pass.
    cfg.TEST.EVAL_ALL_STAGES = False
    cfg.TEST.TUBES = CfgNode()
    # Whether the evaluator links tubes and scores them.
    cfg.TEST.TUBES.ON = True
    # "act" (ACT-detector and MOC-detector: what papers quote) or "voc".
    cfg.TEST.TUBES.PROTOCOL = "act"
    # Consecutive misses that end a path.
    cfg.TEST.TUBES.GAP = 3
    # Tubes whose detections carry actionness are refined: boxes whose actionness, smoothed by a
    # median filter of so many frames, is lower are dropped.
    cfg.TEST.TUBES.REFINE = True
    cfg.TEST.TUBES.ACTIONNESS_THRESH = 0.5
    cfg.TEST.TUBES.ACTIONNESS_WINDOW = 9
