"""The main job at first sight: generate clips, train, evaluate, and draw what was found.

``make demo`` runs this. Everything goes to one folder; nothing is downloaded. Where Detectron2 is
not installed nothing is trained: the exported model that comes with the package detects instead.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.datasets.synthetic.truth import split_videos
from pcsc_d2.flow.color import flow_to_color
from pcsc_d2.flow.methods import compute_flow
from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map
from pcsc_d2.tubes.scoring.chance import chance
from pcsc_d2.video import VideoSource
from pcsc_d2.video.drawing import draw_tubes, image_grid, write_image
from pcsc_d2.video.enlarging import enlarge, enlarge_boxes
from pcsc_d2.video.writing import write_video

REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "configs" / "synthetic" / "quick.yaml"
SET = "easy"
CLIPS = {"train": 80, "val": 10, "test": 10}
VIDEOS_DRAWN = 4
SCORE_DRAWN = 0.3
ENLARGED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m pcsc_d2.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("output/demo"))
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="override the config")
    args = parser.parse_args(arguments)
    root = args.out / "datasets"
    folder = generate(root, SET, CLIPS)
    truth = GroundTruth.load(folder / "annotations.pkl")
    truth = truth.select(split_videos(truth, "test"))
    if find_spec("detectron2") is None:
        print("SKIPPED: training needs Detectron2; the model that comes with the package detects")
        return _detect(folder / "videos" / "test", args.out)
    tubes = _train_and_evaluate(root, args.out, args.opts)
    _draw(folder, args.out, truth, tubes)
    _print_scores(args.out, truth)
    return 0


def _detect(videos: Path, out: Path) -> int:
    """Run the detection tool, with the exported model that comes with the package."""
    from pcsc_d2.assets import START_MODEL
    from pcsc_d2.detect.__main__ import main as detect

    return detect([str(videos), "--model", str(START_MODEL), "--out", str(out / "detected")])


def _train_and_evaluate(root: Path, out: Path, options: list[str]) -> Tubes:
    """Run ``train_net.py``, which ends with an evaluation; the linked tubes of the test clips."""
    command = [sys.executable, str(REPOSITORY / "train_net.py"), "--config-file", str(CONFIG)]
    environment = os.environ | {"DETECTRON2_DATASETS": str(root)}
    subprocess.run([*command, "OUTPUT_DIR", str(out), *options], check=True, env=environment)
    return Tubes.load(_results(out) / "tubes.npz")


def _results(out: Path) -> Path:
    return out / "inference" / f"synthetic_{SET}_test"


def _print_scores(out: Path, truth: GroundTruth) -> None:
    detections = Detections.load(_results(out) / "detections.npz")
    reached = frame_map(detections, truth).mean
    print(
        f"\nframe mAP@0.5 on {len(truth.videos)} test clips: {reached:.1f} "
        f"(chance: {chance(truth):.1f}, which is true boxes with classes drawn at random)"
    )
    print(f"annotated videos:  {out / 'videos'}")
    print(f"a picture of them: {out / 'picture.png'}")
    print(f"the report:        {_results(out) / 'page.html'}")


def _draw(folder: Path, out: Path, truth: GroundTruth, tubes: Tubes) -> None:
    """Annotated videos, and one picture of key frames with the flow at them."""
    cells = []
    (out / "videos").mkdir(parents=True, exist_ok=True)
    for name in truth.videos.tolist()[:VIDEOS_DRAWN]:
        frames = list(VideoSource(folder / "videos" / f"{name}.mp4"))
        shown = tubes.take(tubes.scores >= SCORE_DRAWN)
        drawn = [enlarge(frame, ENLARGED) for frame in frames]
        drawn = list(draw_tubes(drawn, _enlarged(shown), name, _enlarged(truth.tubes)))
        write_video(out / "videos" / f"{Path(name).name}.mp4", drawn)
        middle = len(frames) // 2
        flow = flow_to_color(compute_flow(frames[middle : middle + 2])[0], max_flow=4.0)
        cells += [drawn[middle], enlarge(flow, ENLARGED)]
    write_image(out / "picture.png", image_grid(cells, columns=4))


def _enlarged(tubes: Tubes) -> Tubes:
    """Tubes for enlarged frames."""
    return replace(tubes, boxes=enlarge_boxes(tubes.boxes, ENLARGED))


if __name__ == "__main__":
    sys.exit(main())
