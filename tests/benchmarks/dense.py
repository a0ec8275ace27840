"""What dense video mode saves: CPU seconds for a key frame, clip by clip and by what is shared.

    python tests/benchmarks/dense.py [--keys 65] [--every 1] [--share c3:1,c3:2] [--exported]

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
from pcsc_d2.layers.window_trunk import Sharing
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
ALONE = Sharing("", 1)


def windows(
    cfg: CfgNode, rgb: torch.Tensor, flow: torch.Tensor, exported: bool, ways: list[Sharing]
) -> dict[Sharing, Window]:
    """How key frames of the window are detected, by what they share."""
    length = cfg.INPUT.CLIP_LENGTH
    model = build_model(cfg).eval()
    if exported:
        window = _through_file(model, length).window
        return {s: lambda keys, s=s: window(rgb, flow, keys, s.parts(length), s.step) for s in ways}
    detectors = {s: DenseDetector(model, length, s) for s in ways}
    return {
        s: lambda keys, d=d: d.detect_window(rgb, flow, keys, SIZE) for s, d in detectors.items()
    }


def sharing(text: str) -> Sharing:
    """``c3:2`` is up to c3, at a step of 2."""
    level, step = text.split(":")
    return Sharing(level, int(step))


def name_of(way: Sharing) -> str:
    return f"{way.level} step {way.step}" if way.level else "clip by clip"


def _through_file(model: torch.nn.Module, length: int) -> torch.jit.ScriptModule:
    file = io.BytesIO()
    torch.jit.save(to_network(model, length), file)
    file.seek(0)
    return torch.jit.load(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=65, help="key frames in the window")
    parser.add_argument("--every", type=int, default=1, help="frames between them")
    parser.add_argument("--clips", type=int, default=3, help="key frames run clip by clip")
    parser.add_argument("--share", default="c3:1,c3:2,c4:2,c5:2", help="levels and steps")
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
        ways = [sharing(text) for text in args.share.split(",")]
        runs = windows(cfg, rgb, flow, args.exported, [ALONE, *ways])
        for _ in range(2 if args.exported else 1):
            runs[ALONE](keys[:1])
        alone = [seconds(lambda k=k: runs[ALONE]([k])) for k in keys[: args.clips]]
        base = sum(alone) / len(alone)
        print(f"{name_of(ALONE):<14}{base:>8.3f} CPU s a key frame", flush=True)
        for way in ways:
            value = seconds(lambda way=way: runs[way](keys)) / len(keys)
            ratio = f"{base / value:>8.2f} times as many a second"
            print(f"{name_of(way):<14}{value:>8.3f} CPU s a key frame{ratio}", flush=True)


if __name__ == "__main__":
    main()
