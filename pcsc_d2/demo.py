"""The main job at first sight: generate clips, train, evaluate, and draw what was found.

``pcsc demo`` runs this. Everything goes to one folder; nothing is downloaded. Where Detectron2 is
not installed nothing is trained: the exported model that comes with the package detects instead.
"""

from __future__ import annotations

import os
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
from pcsc_d2.utils.programs import run_module
from pcsc_d2.video import VideoSource
from pcsc_d2.video.drawing import draw_tubes, image_grid, write_image
from pcsc_d2.video.enlarging import enlarge, enlarge_boxes
from pcsc_d2.video.writing import write_video

CONFIG = "synthetic/quick.yaml"
SET = "easy"
CLIPS = {"train": 80, "val": 10, "test": 10}
VIDEOS_DRAWN = 4
SCORE_DRAWN = 0.3
ENLARGED = 3


def demo(out: Path, options: Sequence[str] = ()) -> int:
    """Make the demo.

    Args:
        out: the folder of all that is made.
        options: KEY, VALUE, ... that override the config.

    Returns:
        The exit status.
    """
    root = out / "datasets"
    folder = generate(root, SET, CLIPS)
    truth = GroundTruth.load(folder / "annotations.pkl")
    truth = truth.select(split_videos(truth, "test"))
    if find_spec("detectron2") is None:
        print("SKIPPED: training needs Detectron2; the model that comes with the package detects")
        return _detect(folder / "videos" / "test", out)
    tubes = _train_and_evaluate(root, out, options)
    _draw(folder, out, truth, tubes)
    _print_scores(out, truth)
    return 0


def _detect(videos: Path, out: Path) -> int:
    """Run the detection tool, with the exported model that comes with the package."""
    from pcsc_d2.assets import START_MODEL

    words = ["detect", str(videos), "--model", str(START_MODEL), "--out", str(out / "detected")]
    return run_module(["pcsc_d2", *words])


def _train_and_evaluate(root: Path, out: Path, options: Sequence[str]) -> Tubes:
    """Run ``pcsc train``, which ends with an evaluation; the linked tubes of the test clips."""
    words = ["pcsc_d2", "train", "--config-file", CONFIG, "OUTPUT_DIR", str(out), *options]
    status = run_module(words, os.environ | {"DETECTRON2_DATASETS": str(root)})
    if status:
        raise ChildProcessError(f"training ended with status {status}; what it said is above")
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
