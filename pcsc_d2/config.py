"""Every config key that this project adds to Detectron2's, with what it means."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.config import CfgNode


def add_pcsc_config(cfg: CfgNode) -> None:
    """Add the keys of the two-stream action detector to a Detectron2 config, in place."""
    _add_input(cfg)
    _add_backbone(cfg)
    _add_cooperation(cfg)
    _add_fusion(cfg)
    _add_actionness(cfg)
    _add_solver_and_test(cfg)


def uses_cached_features(cfg: CfgNode) -> bool:
    """Whether the model looks at cached maps of frozen trunks; ValueError for another word."""
    if cfg.MODEL.I3D.FEATURES not in ("clips", "cached"):
        raise ValueError(
            f"MODEL.I3D.FEATURES is 'clips' or 'cached', not {cfg.MODEL.I3D.FEATURES!r}"
        )
    return cfg.MODEL.I3D.FEATURES == "cached"


def require_iterations(cfg: CfgNode) -> None:
    """ValueError where a run is counted in epochs still, which Detectron2 does not look at."""
    if cfg.SOLVER.EPOCHS > 0:
        raise ValueError(
            f"SOLVER.EPOCHS is {cfg.SOLVER.EPOCHS:g}, and Detectron2 counts iterations: train with "
            "cfg = pcsc_d2.engine.scheduled(cfg), or set it to 0"
        )


def has_one_trunk(cfg: CfgNode) -> bool:
    """Whether both streams see the same clip through the same trunk: a frozen one, or a shared one.

    Raises:
        ValueError: they are to share one, and see different things or start from different weights.
    """
    rgb, flow = cfg.MODEL.RGB, cfg.MODEL.FLOW
    same = (flow.SOURCE, flow.WEIGHTS) == (rgb.SOURCE, rgb.WEIGHTS)
    # A whole detector's weights take the place of both trunks'.
    if cfg.MODEL.WEIGHTS and flow.SHARED_TRUNK:
        same = flow.SOURCE == rgb.SOURCE
    if flow.SHARED_TRUNK and not same:
        raise ValueError(
            "MODEL.FLOW.SHARED_TRUNK is for streams of the same SOURCE and WEIGHTS, not for MODEL."
            f"RGB's {rgb.SOURCE}, '{rgb.WEIGHTS}' and MODEL.FLOW's {flow.SOURCE}, '{flow.WEIGHTS}'"
        )
    return same and (flow.SHARED_TRUNK or uses_cached_features(cfg))


def _add_input(cfg: CfgNode) -> None:
    # Frames T in a clip, at stride 1 around the key frame; the same for every clip of a run.
    cfg.INPUT.CLIP_LENGTH = 16
    cfg.INPUT.FLOW = CfgNode()
    # How optical flow is computed: dis, dis_fast, raft_large or raft_small
    # (pcsc_d2.flow.methods); none, where both streams see RGB; or the name under which flow that
    # was made elsewhere was converted (docs/pages/datasets.md).
    cfg.INPUT.FLOW.METHOD = "dis"
    # RAFT's weights, a state_dict in a file ("": torchvision's hub), and the device it runs on.
    cfg.INPUT.FLOW.WEIGHTS = ""
    cfg.INPUT.FLOW.DEVICE = "auto"
    # Flow is clipped to so many pixels and held in 8 bits; 0 holds it as floats, not clipped.
    cfg.INPUT.FLOW.BOUND = 20.0
    # Folder that keeps computed flow. "auto": beside the videos where that is writable, else in
    # the user's cache folder (PCSC_CACHE overrides it); "none": computed on the fly.
    cfg.INPUT.FLOW.CACHE = "auto"
    cfg.INPUT.FEATURES = CfgNode()
    # Where cached maps are kept. "auto": beside the videos where that is writable, else in the
    # user's cache folder (PCSC_CACHE overrides it).
    cfg.INPUT.FEATURES.FOLDER = "auto"
    # Key frames of a training video, evenly spread over those with ground truth; 0 takes all.
    cfg.INPUT.FEATURES.KEY_FRAMES = 5
    # Whether evaluation, too, looks at cached maps, those of every key frame; False: at clips.
    cfg.INPUT.FEATURES.EVALUATION = True
    # Whether the key frames of a video then share the trunks' work, as in pcsc detect --dense.
    cfg.INPUT.FEATURES.DENSE = False
    # What computes them, in float32: see TEST.ENGINE. The maps are the same but for rounding.
    cfg.INPUT.FEATURES.ENGINE = "auto"
    # Decoded frames that are kept, in MiB (by each loading process), so that clips of one video
    # decode each frame once.
    cfg.INPUT.FRAME_CACHE_MB = 512
    # DATALOADER.NUM_WORKERS threads of this process load clips and share one cache, and clips need
    # not be handed from process to process; False makes them processes.
    cfg.DATALOADER.THREADS = True
    # Training key frames are drawn from so many videos at a time, whose frames are then decoded
    # about once; 0 draws from all.
    cfg.DATALOADER.VIDEOS_AT_A_TIME = 0


def _add_backbone(cfg: CfgNode) -> None:
    cfg.MODEL.I3D = CfgNode()
    # Factor on all channels of the trunk; 1.0 is the published network.
    cfg.MODEL.I3D.WIDTH = 1.0
    # BN, FrozenBN, SyncBN or GN.
    cfg.MODEL.I3D.NORM = "FrozenBN"
    # A flow trunk that starts from "kinetics" has its norms' statistics estimated on so many
    # training clips before the first iteration; 0 leaves those of RGB.
    cfg.MODEL.I3D.PRECISE_BN = 256
    # Modules up to this level (2 to 5) get no gradient; 0 freezes none.
    cfg.MODEL.I3D.FREEZE_AT = 0
    # How time is collapsed behind the taps: "mean", or "middle" for the slice in the middle.
    cfg.MODEL.I3D.TIME_POOL = "mean"
    # "clips": the trunks look at clips. "cached": they stay as they are, and the maps that they
    # make of key frames are computed once, kept on disk (INPUT.FEATURES) and trained on.
    cfg.MODEL.I3D.FEATURES = "clips"
    # Frames at either end of INPUT.CLIP_LENGTH that only the levels up to c3 look at. With 10
    # dense video mode at step 1 finds what clips one by one give; training computes more.
    cfg.MODEL.I3D.CONTEXT = 0

    cfg.MODEL.TRUNK_CLASSIFIER = CfgNode()
    # Weight of foretelling RGB's maps of c4 and c5 where META_ARCHITECTURE is TrunkClassifier; 0:
    # classes alone.
    cfg.MODEL.TRUNK_CLASSIFIER.IMITATION = 0.0

    # Of MODEL.BACKBONE.NAME build_s3d_fpn_backbone, which takes all of MODEL.I3D, too.
    cfg.MODEL.S3D = CfgNode()
    # Whose network: "torchvision" (weights by the name "kinetics", or a file), or "howto100m".
    cfg.MODEL.S3D.VARIANT = "torchvision"
    # S3D-G's gates: "on", "off", or "auto" for as the variant's weights have it.
    cfg.MODEL.S3D.GATING = "auto"

    # Share of the trunks' channels that the pyramids do not see in training: pyramids and heads
    # on frozen trunks learn few clips by heart without it.
    cfg.MODEL.FPN.DROPOUT = 0.0

    # Dropout in training of what a box head hands to its output layers.
    cfg.MODEL.ROI_BOX_HEAD.DROPOUT = 0.0
    # Side, in pixels, of the box that is pooled from p4; half of it from p3, and so on. 224 is
    # Detectron2's, meant for images of 800 pixels.
    cfg.MODEL.ROI_BOX_HEAD.POOLER_CANONICAL_SIZE = 224

    cfg.MODEL.RGB = CfgNode()
    cfg.MODEL.RGB.SOURCE = "rgb"
    cfg.MODEL.RGB.PIXEL_MEAN = [127.5, 127.5, 127.5]
    cfg.MODEL.RGB.PIXEL_STD = [127.5, 127.5, 127.5]
    # Trunk weights, used where MODEL.WEIGHTS is empty: a file of either public port of Kinetics
    # I3D; a model of this project, for its trunk of this stream; or "kinetics", which pcsc weights
    # fetches.
    cfg.MODEL.RGB.WEIGHTS = ""
    cfg.MODEL.FLOW = CfgNode()
    # What the second stream sees: "flow"; "difference", what changes in RGB from each frame to the
    # next, in grey levels (three channels, for which PIXEL_MEAN and PIXEL_STD have to be given); or
    # "rgb" for the ablation with two RGB streams (which then takes them from the first).
    cfg.MODEL.FLOW.SOURCE = "flow"
    # Pixels. Normalised flow is clipped to [-1, 1], so flow is clipped to +-20 pixels.
    cfg.MODEL.FLOW.PIXEL_MEAN = [0.0, 0.0]
    cfg.MODEL.FLOW.PIXEL_STD = [20.0, 20.0]
    # "kinetics" are RGB's, the first kernels made ones for flow: see I3D.PRECISE_BN.
    cfg.MODEL.FLOW.WEIGHTS = ""
    # One trunk for both streams, where both see the same: run once a clip, trained by both. Trunks
    # whose maps are cached are one anyway where their weights are.
    cfg.MODEL.FLOW.SHARED_TRUNK = False


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
    # The score in training: below 0 the best TOPK_TRAIN always train the next stage. A cut leaves
    # it with ground truth alone for as long as the stage before knows little.
    node.SCORE_THRESH_TRAIN = -1.0
    # False: in training overlapping boxes are kept, as a cascade's are, so that more are positive.
    node.NMS_IN_TRAINING = True
    # The control: as many stages, each stream keeping to itself. Overrides the switches above.
    node.OWN_STREAM_CONTROL = False
    # How the stages' detections are put together: "union" (the paper's), "average", "last_two", or
    # "within_streams", the union of what NMS leaves of each stream's own stages.
    node.OUTPUT = "union"
    # The stream that stage 1 improves, the other one at stage 2: "rgb" (the paper's) or "flow".
    node.FIRST_STREAM = "rgb"
    # Messages are made of the assistant's ROI features with the earlier stages' messages in them,
    # not of its own features alone (the paper's).
    node.REFINED_MESSAGES = False
    # All stages of a stream have its stage-0 head, rather than a head each (the paper's).
    node.SHARED_HEADS = False
    # Each head's scores are calibrated by a temperature, which pcsc fit-scores finds, before stages
    # are put together: an overconfident head wins every union.
    node.CALIBRATED = False
    # Iterations that train stage 0 alone, without messages, and are evaluated so; the later heads
    # then start from the stream's own. So they do where MODEL.WEIGHTS is a baseline's, which needs
    # no warm-up.
    node.WARMUP_ITERS = 0


def _add_fusion(cfg: CfgNode) -> None:
    cfg.MODEL.FUSION = node = CfgNode()
    # How RGB's heads and flow's (one each in the baseline, the mean of a stream's with stages)
    # make detections, in place of COOPERATION.OUTPUT; "": that. AverageFusion,
    # ClassWeightsFusion, FullyConnectedFusion (the last two learned, with the detector or after
    # it by pcsc fit-scores) or BoostFusion (of the latest head of each, at its own boxes).
    node.NAME = ""
    # IoU from which a flow detection raises an RGB detection in BoostFusion.
    node.BOOST_IOU = 0.3

    # What pcsc fit-scores fits fusion or temperatures to; those of TRAIN if none is named. Videos
    # that the detector was not trained on are better: on others it is too sure.
    cfg.DATASETS.SCORES = ()
    cfg.SOLVER.SCORES = node = CfgNode()
    # Key frames of each video, evenly spread over those with ground truth.
    node.KEY_FRAMES = 5
    # Weight of a learned fusion's squared distance from the mean of the logits.
    node.RIDGE = 0.0001


def _add_actionness(cfg: CfgNode) -> None:
    cfg.MODEL.ACTIONNESS = node = CfgNode()
    # Whether detections get the actionness of their class. It is trained after the detector, by
    # pcsc train-actionness, which turns it on in what it writes.
    node.ON = False
    node.NAME = "ActionnessHead"
    # False: one classifier for all classes (an ablation).
    node.CLASS_SPECIFIC = True
    # "cooperation": the last stage's ROI features, message included (the paper's); "stream": its
    # own stream's alone (an ablation).
    node.FEATURES = "cooperation"
    # Whether the head sees each ROI feature's mean over the grid (a vector, 512 bytes a box at 256
    # channels) and not all of its cells (49 times that at 7x7).
    node.POOLED = False
    # Hidden layers before the N outputs.
    node.NUM_FC = 1
    node.FC_DIM = 256
    # A tube's box is positive where its IoU with ground truth of its class is over this (the
    # paper's), for segments, too. Of a detector whose boxes are looser, most negatives would lie
    # within the action.
    node.LABEL_IOU = 0.5

    # Datasets whose videos train it, every frame of them; those of TRAIN if none is named (name
    # the full set where TRAIN has only some frames).
    cfg.DATASETS.ACTIONNESS = ()
    cfg.SOLVER.ACTIONNESS = node = CfgNode()
    node.EPOCHS = 10
    node.BASE_LR = 0.001
    node.WEIGHT_DECAY = 0.01
    node.BATCH_SIZE = 256
    # An epoch looks at all positive boxes, and for each at so many negative ones of its class from
    # tubes that hold positives (the confusing ones at their ends), and as many from other tubes.
    node.NEGATIVES = 3.0
    # Training videos at most, drawn at random with the classes in turn; 0: all.
    node.VIDEOS = 0
    # Features on disk at most, in MiB; beyond that, videos are left out at random.
    node.DISK_MB = 20000
    # Features in memory at most, in MiB.
    node.MEMORY_MB = 2000
    # The median window and the threshold are chosen on training videos that the head did not see:
    # each of so many parts is scored by a head trained on the others.
    node.FOLDS = 3
    # The windows to choose from, in frames (1: no median filter), and the thresholds.
    node.WINDOWS = (1, 3, 5, 9, 13, 17, 25)
    node.THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
    # Temporal cooperation, in place of actionness: trained after the detector, on the same videos,
    # by pcsc train-segments, which turns it on in what it writes.
    cfg.MODEL.SEGMENTS = node = CfgNode()
    node.ON = False
    cfg.SOLVER.SEGMENTS = node = CfgNode()
    # After stage 0.
    node.STAGES = 2
    # False: the control, as many stages, each stream keeping to itself.
    node.EXCHANGE = True
    node.EPOCHS = 10
    node.BASE_LR = 0.001
    node.WEIGHT_DECAY = 0.01


def _add_solver_and_test(cfg: CfgNode) -> None:
    # Where EPOCHS is over 0 it sets MAX_ITER, and STEP_EPOCHS (the epochs after which the rate
    # drops) sets STEPS, from the size of the training set; WARMUP_ITERS stays iterations. MAX_ITER
    # or STEPS on the command line win over epochs that are not given after them.
    cfg.SOLVER.EPOCHS = 0.0
    cfg.SOLVER.STEP_EPOCHS = ()
    # "SGD", Detectron2's, or "AdamW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # Factor on the rate of the trunks, whose weights are nearer to good ones than new heads are. 0
    # leaves norms that are not frozen their running statistics: FREEZE_AT freezes.
    cfg.SOLVER.TRUNK_FACTOR = 1.0
    # Checkpoints of training that stay, the latest ones; 0: all.
    cfg.SOLVER.KEEP = 3
    # What model_best.pth is the best by, where TEST.EVAL_PERIOD evaluates on the way; "": none.
    cfg.TEST.BEST_METRIC = "video/AP50"
    # Evaluate and export a model whose weights lack its later stages (a baseline's), which are
    # then copies of stage 0.
    cfg.TEST.INCOMPLETE_WEIGHTS = False
    # IoU thresholds of frame mAP, beside the mean over 0.5 to 0.95.
    cfg.TEST.FRAME_IOUS = (0.5, 0.75)
    # Key frames of a test video that are looked at, evenly spread over those with ground truth, and
    # scored by frame mAP alone: a quick validation. 0: all, and tubes are linked.
    cfg.TEST.KEY_FRAMES = 0
    # Key frames of one video that are looked at at a time, on each GPU.
    cfg.TEST.IMS_PER_BATCH = 1
    # Every stage's output is scored, from one pass.
    cfg.TEST.EVAL_ALL_STAGES = False
    # What runs the trunks with --eval-only on a CPU: torch, onnxruntime, openvino, or auto for the
    # fastest that is installed (torch for I3D and small models); and in which precision: float32,
    # or bf16 (openvino).
    cfg.TEST.ENGINE = "auto"
    cfg.TEST.PRECISION = "float32"
    cfg.TEST.TUBES = CfgNode()
    # Whether the evaluator links tubes and scores them.
    cfg.TEST.TUBES.ON = True
    # "act" (ACT-detector and MOC-detector: what papers quote) or "voc".
    cfg.TEST.TUBES.PROTOCOL = "act"
    # Consecutive misses that end a path.
    cfg.TEST.TUBES.GAP = 3
    # Frames of the shortest tube.
    cfg.TEST.TUBES.MIN_LENGTH = 10
    # Fill gaps linearly, rather than with the next found box.
    cfg.TEST.TUBES.INTERPOLATE = False
    # The linker's own way to end tubes (Singh et al. 2017): cost of a change of label, theirs is
    # 3; 0, as in PCSC, does not label.
    cfg.TEST.TUBES.TEMPORAL_LABELLING = 0.0
    # Tubes whose detections carry actionness are refined: boxes whose actionness, smoothed by a
    # median filter of so many frames, is lower are dropped. A negative threshold and a window of
    # 0 stand for those chosen in training, which the checkpoint holds. Not for trimmed videos.
    cfg.TEST.TUBES.REFINE = True
    cfg.TEST.TUBES.ACTIONNESS_THRESH = -1.0
    cfg.TEST.TUBES.ACTIONNESS_WINDOW = 0


def changed(cfg: CfgNode, values: Mapping[str, object]) -> CfgNode:
    """A copy with other values, by their keys, frozen as the config is."""
    frozen, cfg = cfg.is_frozen(), cfg.clone()
    cfg.defrost()
    cfg.merge_from_list([part for pair in values.items() for part in pair])
    if frozen:
        cfg.freeze()
    return cfg
