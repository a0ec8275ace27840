"""What engines save: CPU seconds for a key frame, clip by clip and in dense mode.

    python tests/benchmarks/engines.py [--keys 65] [--rounds 2] [--engines torch openvino]

The model is PCSC with four stages at full width, 240x320, T = 16, random weights, unless --size and
--options say otherwise; the video is noise. All in one run on one thread, in seconds of the
process, which other jobs on the machine lengthen far less than they do the clock's. "torch today"
is the model as training leaves it, clip by clip, which the others are held against; they are
prepared as they are for ``detect``. Each way is run once to warm up; then they take turns, and of
each the least counts.
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
WAYS_OF_VIDEO = ("clip by clip", "dense")


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


def by_clip(model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int) -> float:
    """CPU seconds of a key frame by itself."""
    clip = [{"rgb": rgb[:, :length], "flow": flow[:, :length]}]
    return seconds(lambda: model(clip))


def dense(
    model: torch.nn.Module, rgb: torch.Tensor, flow: torch.Tensor, length: int, keys: int
) -> float:
    """CPU seconds of a key frame of a window, by the default of dense mode."""
    detector = DenseDetector(model, length, Sharing())
    frames = list(range(length // 2, length // 2 + keys))
    window = keys + length - 1
    rgb, flow = rgb[:, :window], flow[:, :window]
    return seconds(lambda: detector.detect_window(rgb, flow, frames, rgb.shape[-2:])) / keys


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


def least(values: list[dict[str, float]]) -> dict[str, float]:
    """Of each part the least over rounds."""
    return {name: min(each[name] for each in values) for name in values[0]}


def measure(
    contestants: dict[str, torch.nn.Module],
    clips: tuple[torch.Tensor, torch.Tensor],
    length: int,
    keys: int,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """The least CPU seconds of each way, whole and by part."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, model in contestants.items():
            values = {"clip by clip": by_clip(model, *clips, length)}
            if turn:
                values |= parts(model, *clips, length)
            if name != TODAY:
                # Five key frames are of every phase.
                values["dense"] = dense(model, *clips, length, keys if turn else 5)
            if turn:
                found[name].append(values)
                print(f"  {turn} {name}", _text(values), sep="   ", flush=True)
    return {name: least(values) for name, values in found.items()}


def _text(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=65, help="key frames in the window")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engines", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--options", nargs="*", default=[], metavar="KEY VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = config(args.options)
    length, frames = cfg.INPUT.CLIP_LENGTH, args.keys + cfg.INPUT.CLIP_LENGTH - 1
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (3, frames, *args.size), generator=generator, dtype=torch.uint8)
    flow = torch.randn(2, frames, *args.size, generator=generator) * 3
    print(
        f"{args.keys} key frames of {tuple(args.size)}, T = {length}; CPU s a key frame, one thread"
    )
    with torch.inference_mode():
        contestants = models(length, cfg, args.engines)
        found = measure(contestants, (rgb, flow), length, args.keys, args.rounds)
    base = found[TODAY]["clip by clip"]
    for name, values in found.items():
        ratios = [f"{way} {base / values[way]:.2f} times" for way in WAYS_OF_VIDEO if way in values]
        print(f"{name:<22}{_text(values)}; {', '.join(ratios)}")


if __name__ == "__main__":
    main()
