"""What engines save: CPU seconds for a key frame, clip by clip and in dense mode.

    python tests/benchmarks/engines.py [--keys 65] [--clips 2] [--engines torch openvino]

The model is PCSC with four stages at full width, 240x320, T = 16, random weights; the video is
noise. All in one run on one thread, in seconds of the process, which other jobs on the machine
lengthen far less than they do the clock's. "torch today" is the model as training leaves it, clip
by clip, which the others are held against; they have their norms folded. Each way is run once to
warm up, at the size that is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy

import torch
from dense import SIZE, config, seconds
from detectron2.modeling import build_model

from pcsc_d2.layers.window_trunk import Sharing
from pcsc_d2.modeling.dense import DenseDetector
from pcsc_d2.modeling.inference import prepare_for_inference
from pcsc_d2.runtime import COMPILERS, EngineError, choose_engine

TODAY = "torch today"
WAYS = ("torch", *COMPILERS)


def models(length: int, cfg: object, engines: list[str]) -> dict[str, torch.nn.Module]:
    """The same model, prepared for each way; engines that cannot run are named."""
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    found = {TODAY: model}
    ways = [(name, "float32") for name in engines] + [("openvino", "bf16")]
    for name, precision in ways:
        try:
            engine = choose_engine(name, precision)
        except EngineError as error:
            print(f"{name}, {precision}: {error}", flush=True)
            continue
        prepared = deepcopy(model)
        prepare_for_inference(prepared, length, engine)
        found[str(engine)] = prepared
    return found


def by_clip(
    model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int, clips: int
) -> float:
    """CPU seconds of a key frame, clip by clip."""
    inputs = [
        {"rgb": rgb[:, k : k + length], "flow": flow[:, k : k + length]} for k in range(clips)
    ]
    model(inputs[:1])
    return seconds(lambda: [model([x]) for x in inputs]) / clips


def dense(
    model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int, keys: int
) -> float:
    """CPU seconds of a key frame of a window, by the default of dense mode."""
    detector = DenseDetector(model, length, Sharing())
    frames = list(range(length // 2, length // 2 + keys))
    detector.detect_window(rgb[:, : length + 4], flow[:, : length + 4], frames[:5], SIZE)
    return seconds(lambda: detector.detect_window(rgb, flow, frames, SIZE)) / keys


def parts(
    model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int
) -> dict[str, float]:
    """CPU seconds of the parts of one clip: trunks, pyramids, RPNs, heads."""
    clip = [{"rgb": rgb[:, :length], "flow": flow[:, :length]}]
    images = {s: getattr(model, s).preprocess(clip) for s in ("rgb", "flow")}
    maps, kept = {}, {}
    trunks = sum(
        _timed(kept, s, lambda s=s: getattr(model, s).backbone.bottom_up(images[s].tensor))
        for s in images
    )
    maps.update(kept)
    pyramids = _timed(kept, "pyramids", lambda: model.pyramids(maps))
    rpns = _timed(kept, "rpns", lambda: model.propose(images, kept["pyramids"], None)[0])
    heads = _timed(
        kept, "heads", lambda: model.roi_heads(images["rgb"], kept["pyramids"], kept["rpns"])
    )
    return {"trunks": trunks, "pyramids": pyramids, "RPNs": rpns, "heads": heads}


def _timed(kept: dict, name: str, job: Callable[[], object]) -> float:
    return seconds(lambda: kept.update({name: job()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=65, help="key frames in the window")
    parser.add_argument("--clips", type=int, default=2, help="key frames run clip by clip")
    parser.add_argument("--engines", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--options", nargs="*", default=[], metavar="KEY VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = config(args.options)
    length, frames = cfg.INPUT.CLIP_LENGTH, args.keys + cfg.INPUT.CLIP_LENGTH - 1
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (3, frames, *SIZE), generator=generator, dtype=torch.uint8)
    flow = torch.randn(2, frames, *SIZE, generator=generator) * 3
    print(f"{args.keys} key frames of {SIZE}, T = {length}; CPU s a key frame, one thread")
    base = 0.0
    with torch.inference_mode():
        for name, model in models(length, cfg, args.engines).items():
            alone = by_clip(model, rgb, flow, length, args.clips)
            base = base or alone
            line = f"{name:<22} clip by clip {alone:6.3f} ({base / alone:4.2f} times)"
            inside = parts(model, rgb, flow, length).items()
            print(line, ", ".join(f"{k} {v:.2f}" for k, v in inside), sep="   ", flush=True)
            if name != TODAY:
                shared = dense(model, rgb, flow, length, args.keys)
                print(f"{'':<22} dense {shared:13.3f} ({base / shared:4.2f} times)", flush=True)


if __name__ == "__main__":
    main()
