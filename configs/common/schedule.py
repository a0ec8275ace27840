"""Six epochs at the paper's rate, as in ../Base-PCSC-I3D-FPN.yaml."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params
from fvcore.common.param_scheduler import MultiStepParamScheduler

optimizer = L(torch.optim.SGD)(
    params=L(get_default_optimizer_params)(weight_decay_norm=0.0),
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-4,
)

lr_multiplier = L(WarmupParamScheduler)(
    # In epochs.
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[4, 5], num_updates=6),
    warmup_factor=0.001,
    # 500 iterations of J-HMDB's.
    warmup_length=500 / 45_398,
    warmup_method="linear",
)

train = {
    "output_dir": "output",
    "init_checkpoint": "",
    # Six epochs of J-HMDB's split 1 in batches of 3.
    "max_iter": 45_398,
    "amp": {"enabled": False},
    "ddp": {"broadcast_buffers": False, "find_unused_parameters": False},
    "checkpointer": {"period": 2000, "max_to_keep": 3},
    "eval_period": 45_398,
    "log_period": 20,
    "device": "cuda",
    "seed": 1,
    "cudnn_benchmark": True,
}
