"""What dense video mode saves: CPU seconds for a key frame, clip by clip and by what is shared.

    python tests/benchmarks/dense.py [--keys 32] [--every 1] [--share c3,c4] [--exported]

The model is PCSC with four stages at full width, 240x320, T = 16, random weights; the video is
noise. All in one run on one thread, in seconds of the process: the key frames of one window, after
one clip to warm up. The window holds T - 1 frames more than the key frames span; that is counted.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from pcsc_d2 import add_pcsc_config
from pcsc_d2.export.tracing import to_network
from pcsc_d2.layers.window_trunk import LEVELS
from pcsc_d2.modeling.dense import DenseDetector

CONFIG = Path(__file__).parents[2] / "configs" / "ucf101_24" / "pcsc.yaml"
SIZE = (240, 320)


def config(options: list[str]) -> CfgNode:
    """The paper's model; boxes of untrained heads are let through to the stages."""
    cfg = get_cfg()
    add_pcsc_config(cfg)
    cfg.merge_from_file(str(CONFIG))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.COOPERATION.SCORE_THRESH", 0.0])
    cfg.merge_from_list(options)
    return cfg


def seconds(job: Callable[[], object]) -> float:
    """CPU seconds of the process."""
    start = time.process_time()
    job()
    return time.process_time() - start


Window = Callable[[list[int]], object]


def windows(
    cfg: CfgNode, rgb: torch.Tensor, flow: torch.Tensor, exported: bool
) -> dict[str, Window]:
    """How key frames of the window are detected, by the level that is shared; "" for none."""
    length = cfg.INPUT.CLIP_LENGTH
    model = build_model(cfg).eval()
    if exported:
        window = _through_file(model, length).window
        return {
            level: lambda keys, n=n: window(rgb, flow, keys, n)
            for n, level in enumerate(("", *LEVELS))
        }
    detectors = {level: DenseDetector(model, length, level) for level in ("", *LEVELS)}
    return {
        level: lambda keys, d=d: d.detect_window(rgb, flow, keys, SIZE)
        for level, d in detectors.items()
    }


def _through_file(model: torch.nn.Module, length: int) -> torch.jit.ScriptModule:
    file = io.BytesIO()
    torch.jit.save(to_network(model, length), file)
    file.seek(0)
    return torch.jit.load(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=32, help="key frames in the window")
    parser.add_argument("--every", type=int, default=1, help="frames between them")
    parser.add_argument("--clips", type=int, default=3, help="key frames run clip by clip")
    parser.add_argument("--share", default=",".join(LEVELS), help="levels, as in c2,c3")
    parser.add_argument("--exported", action="store_true", help="the exported network")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="override the config")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cfg = config(args.opts)
    length = cfg.INPUT.CLIP_LENGTH
    frames = (args.keys - 1) * args.every + length
    rgb = torch.randint(0, 256, (3, frames, *SIZE), dtype=torch.uint8)
    flow = torch.randn(2, frames, *SIZE) * 3
    keys = list(range(length // 2, frames - length // 2 + 1, args.every))
    print(f"{len(keys)} key frames every {args.every} in {frames} frames of {SIZE}, T = {length}")
    with torch.inference_mode():
        runs = windows(cfg, rgb, flow, args.exported)
        for _ in range(2 if args.exported else 1):
            runs[""](keys[:1])
        alone = [seconds(lambda k=k: runs[""]([k])) for k in keys[: args.clips]]
        base = sum(alone) / len(alone)
        print(f"{'clip by clip':<14}{base:>8.3f} CPU s a key frame", flush=True)
        for level in args.share.split(","):
            value = seconds(lambda level=level: runs[level](keys)) / len(keys)
            ratio = f"{base / value:>8.2f} times as many a second"
            print(f"shared to {level:<4}{value:>8.3f} CPU s a key frame{ratio}", flush=True)


if __name__ == "__main__":
    main()
