"""Mixed precision and DistributedDataParallel, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch.nn.parallel import DistributedDataParallel

from tests.tiny import tiny_config, tiny_input

COOPERATION = ["MODEL.COOPERATION.NUM_STAGES", 2, "MODEL.COOPERATION.IMAGE_MESSAGES", True]


@pytest.mark.parametrize("norm", ["GN", "BN", "FrozenBN"])
def test_autocast_trains_and_detects(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 12 channels, as tiny models have, oneDNN's bf16 convolutions are NaN where a processor has
    # AMX: torch.nn.functional.conv3d of finite numbers by itself.
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    torch.manual_seed(0)
    model = build_model(tiny_config([*COOPERATION, "MODEL.I3D.NORM", norm]))
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([tiny_input(0), tiny_input(1)])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert model.flow.backbone.bottom_up.trunk.Conv3d_1a_7x7.conv3d.weight.grad is not None
    model.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        detections = model([tiny_input(0)])[0]["instances"]
    assert len(detections) > 0


def _train_on_rank(rank: int, folder: str, active_stages: int) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_model(tiny_config(COOPERATION))
    model.roi_heads.active_stages = active_stages
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.01)
    torch.manual_seed(rank)
    # The second step is where DDP complains of parameters that the first left without gradient.
    for step in range(2):
        with EventStorage():
            losses = parallel([tiny_input(10 * step + rank)])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    torch.save(model.state_dict(), f"{folder}/rank{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.parametrize("active_stages", [0, 2])
def test_ranks_stay_in_step(tmp_path: Path, active_stages: int) -> None:
    mp.spawn(_train_on_rank, (str(tmp_path), active_stages), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{r}.pth", weights_only=True) for r in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
