"""The steps of the demo, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pcsc_d2.assets import SHIPPED_MODEL
from pcsc_d2.datasets.synthetic.clips import plan_split, render_clip
from pcsc_d2.datasets.synthetic.generate import FPS, actor_types, generate
from pcsc_d2.datasets.synthetic.truth import split_videos
from pcsc_d2.demo.page import Scores, write_index
from pcsc_d2.demo.programs import run_quietly
from pcsc_d2.demo.scenes import SCALE, Scene, draw_scene, picture
from pcsc_d2.demo.training import TRAINING, train
from pcsc_d2.flow.methods import compute_flow
from pcsc_d2.tubes import Detections, GroundTruth, Tubes, frame_map, video_map
from pcsc_d2.tubes.scoring.chance import chance
from pcsc_d2.video import VideoSource
from pcsc_d2.video.drawing import write_image
from pcsc_d2.video.writing import write_video

SET = "easy"
CLIPS = {"train": 80, "val": 10, "test": 10}
SCENES, IN_PICTURE = 4, 3
SCORE_DRAWN = 0.3
OWN_VIDEO, OWN_RESULTS = "own_video.mp4", "own_video"
OWN_FRAMES = 90


def demo(out: Path, options: Sequence[str] = ()) -> int:
    """Make the demo.

    Args:
        out: the folder of all that is made.
        options: KEY, VALUE, ... that override the config of the training.

    Returns:
        The exit status.

    Raises:
        ChildProcessError: training or detection failed; the error names the file that says why.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = generate(out / "datasets", SET, CLIPS)
    truth = GroundTruth.load(data / "annotations.pkl")
    truth = truth.select(split_videos(truth, "test"))
    names = truth.videos.tolist()[:SCENES]
    results = None
    if find_spec("detectron2") is None:
        print(
            "SKIPPED: training needs Detectron2; the model of the package, which knows "
            "people, looks at the generated clips instead"
        )
        tubes = _detected(data, names)
    else:
        results = train(out, SET, options)
        found = Tubes.load(results / "tubes.npz")
        tubes = {name: found.take(found.videos[found.video] == name) for name in names}
    scenes = _draw(out, data, truth, {name: _shown(of) for name, of in tubes.items()})
    _detect_own_video(out, [out / TRAINING] if results else [SHIPPED_MODEL])
    scores = _scores(results, truth) if results else None
    index = write_index(out, scenes, scores, OWN_RESULTS)
    if scores:
        print(f"frame mAP@0.5 on {len(truth.videos)} test clips: {scores.told()}")
    print(f"see {index}")
    return 0


def _detected(data: Path, names: Sequence[str]) -> dict[str, Tubes]:
    """Tubes that the model of the package finds, by video."""
    from pcsc_d2.detect.detector import ActionDetector

    print("detecting")
    detector = ActionDetector(SHIPPED_MODEL)
    found = {name: detector(data / "videos" / f"{name}.mp4") for name in names}
    return {name: replace(tubes, videos=[name]) for name, tubes in found.items()}


def _shown(tubes: Tubes) -> Tubes:
    """Those that are worth showing."""
    return tubes.take(tubes.scores >= SCORE_DRAWN)


def _draw(out: Path, data: Path, truth: GroundTruth, tubes: dict[str, Tubes]) -> list[Scene]:
    """Annotated videos of some scenes, and one picture of the first ones."""
    print("drawing what was found")
    kinds = actor_types(truth, data / "actors.json")
    scenes, pictures = [], []
    for plan, (name, found) in zip(plan_split(SET, "test", len(tubes)), tubes.items()):
        own = truth.tubes.videos[truth.tubes.video] == name
        scene = Scene(name, truth.tubes.take(own), kinds[own].tolist(), found)
        fields = compute_flow(list(VideoSource(data / "videos" / f"{name}.mp4")))
        views = list(draw_scene(scene, render_clip(plan, SCALE)[0], fields))
        (out / scene.file).parent.mkdir(exist_ok=True)
        write_video(out / scene.file, (view.video_frame() for view in views), FPS)
        liveliest = views[scene.liveliest_frame(fields) - 1]
        write_image(out / scene.poster, liveliest.video_frame())
        pictures.append(liveliest)
        scenes.append(scene)
    write_image(out / "picture.png", picture(pictures[:IN_PICTURE]))
    return scenes


def _detect_own_video(out: Path, model: Sequence[Path]) -> None:
    """Run the detection tool on a video that no set holds, as one would on one's own."""
    print("detecting in a video that is in no dataset")
    plan = plan_split(SET, "own", 1, length=(OWN_FRAMES, OWN_FRAMES))[0]
    write_video(out / OWN_VIDEO, render_clip(plan, SCALE)[0], FPS)
    words = ["pcsc_d2", "detect", out / OWN_VIDEO, "--model", *model, "--out", out / OWN_RESULTS]
    run_quietly([*map(str, words), "--quiet"], out / "own_video.log")


def _scores(results: Path, truth: GroundTruth) -> Scores:
    detections = Detections.load(results / "detections.npz")
    video = video_map(Tubes.load(results / "tubes.npz"), truth)
    return Scores(
        frame=frame_map(detections, truth).mean,
        chance=chance(truth),
        video={iou: video[iou].mean for iou in (0.2, 0.5)},
        report=results / "page.html",
    )
