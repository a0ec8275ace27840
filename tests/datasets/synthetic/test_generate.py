"""Generated clips: deterministic, labelled where they are drawn, and told by both streams only."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pcsc_d2.cli import main
from pcsc_d2.datasets.synthetic import generate as synthetic
from pcsc_d2.datasets.synthetic.actors import (
    APPEARANCES,
    KINDS,
    MOTIONS,
    ActorSpec,
    envelope,
    figure,
    make_actor,
)
from pcsc_d2.datasets.synthetic.clips import SETS, ClipSpec, labels_of, plan_split, render_clip
from pcsc_d2.datasets.synthetic.generate import generate
from pcsc_d2.datasets.synthetic.scene import Scene
from pcsc_d2.datasets.synthetic.truth import actor_types, split_videos
from pcsc_d2.tubes import GroundTruth

SMALL = {"sizes": {"train": 3, "val": 1, "test": 2}, "size": (64, 96), "length": (16, 20)}


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def dis_flow(frames: np.ndarray) -> np.ndarray:
    """Flow less the camera's, (N - 1, H, W, 2)."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = np.stack([dis.calc(a, b, None) for a, b in pairwise(grey)])
    return flow - np.median(flow, axis=(1, 2), keepdims=True)


# --- plans ---


def test_sets_are_pairs_of_look_and_motion():
    assert set(SETS["pairs"]) == {
        (appearance, motion) for appearance in APPEARANCES for motion in MOTIONS
    }
    easy = SETS["easy"]
    only_look = [pair for pair in easy if sum(p[0] == pair[0] for p in easy) == 1]
    only_motion = [pair for pair in easy if sum(p[1] == pair[1] for p in easy) == 1]
    assert set(only_look) | set(only_motion) == set(easy)
    assert not set(only_look) & set(only_motion)
    assert labels_of("easy") == ("red-sway", "green-sway", "blue-bounce", "blue-twist")


@pytest.mark.parametrize("name", SETS)
def test_plan_balances_classes_and_kinds(name: str):
    actors = [actor for spec in plan_split(name, "train", 60) for actor in spec.actors]
    labels = Counter(actor.label for actor in actors)
    assert len(labels) == len(SETS[name])
    assert max(labels.values()) - min(labels.values()) <= 1
    assert all((actor.appearance, actor.motion) == SETS[name][actor.label] for actor in actors)
    kinds = Counter(actor.kind for actor in actors)
    assert set(kinds) == set(KINDS)
    for kind in ("still", "camouflaged"):
        assert 0.15 <= kinds[kind] / len(actors) <= 0.2


def test_plan_keeps_to_its_bounds_and_to_its_first_clips():
    plan = plan_split("pairs", "train", 40, size=(64, 96), length=(20, 23), seed=5)
    assert {len(spec.actors) for spec in plan} == {1, 2, 3}
    assert {spec.frames for spec in plan} == {20, 21, 22, 23}
    assert plan[:7] == plan_split("pairs", "train", 7, size=(64, 96), length=(20, 23), seed=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "hard"}, "no generated set 'hard'.*pairs"),
        ({"count": -1}, "-1: must not be negative"),
        ({"size": (96, 127)}, r"\(96, 127\).*even"),
        ({"size": (16, 128)}, "at least 32"),
        ({"length": (8, 20)}, "16 <= fewest"),
        ({"length": (30, 20)}, "fewest <= most"),
    ],
)
def test_plan_refuses_what_it_cannot_draw(change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        plan_split(**{"name": "pairs", "split": "train", "count": 1, **change})


# --- clips ---


def test_same_spec_gives_the_same_frames_and_another_gives_others():
    plans = {
        key: plan_split("pairs", split, 2, (64, 96), (16, 16), seed)
        for key, split, seed in (
            ("base", "train", 0),
            ("split", "test", 0),
            ("seed", "train", 1),
        )
    }
    frames, tubes = render_clip(plans["base"][0])
    again, tubes_again = render_clip(plans["base"][0])
    np.testing.assert_array_equal(frames, again)
    for one, other in zip(tubes, tubes_again, strict=True):
        assert one.start == other.start
        np.testing.assert_array_equal(one.boxes, other.boxes)
    for other in (plans["base"][1], plans["split"][0], plans["seed"][0]):
        assert np.abs(frames.astype(int) - render_clip(other)[0]).mean() > 10


@pytest.mark.parametrize("size", [(96, 128), (64, 96), (120, 160), (128, 96)])
def test_clips_of_any_size_hold_their_tubes(size: tuple[int, int]):
    height, width = size
    for spec in plan_split("pairs", "train", 6, size, (16, 40)):
        frames, tubes = render_clip(spec)
        assert frames.shape == (spec.frames, height, width, 3)
        assert frames.dtype == np.uint8
        assert [tube.actor for tube in tubes] == list(spec.actors)
        for tube in tubes:
            assert tube.start > 1
            assert tube.end < spec.frames
            assert len(tube.boxes) >= 0.4 * spec.frames
            assert (tube.boxes >= 0).all()
            assert (tube.boxes[:, 2:] <= [width - 1, height - 1]).all()
            sides = tube.boxes[:, 2:] - tube.boxes[:, :2] + 1
            assert (np.median(sides, axis=0) > 0.12 * height).all()


def test_clips_stay_what_they_were():
    """`VERSION` must be raised with these numbers; OpenCV's releases round differently by one."""
    frames, tubes = render_clip(plan_split("pairs", "train", 3, (64, 96), (16, 20))[2])
    pixels = [[75, 101, 62], [21, 50, 27], [67, 127, 209]]
    pixels += [[59, 66, 1], [119, 137, 140], [34, 66, 51]]
    pixels += [[98, 119, 95], [127, 158, 163], [84, 97, 51]]
    np.testing.assert_allclose(frames[10, 8::24, 8::32].reshape(9, 3), pixels, atol=1)
    assert [(tube.start, tube.end) for tube in tubes] == [(5, 14), (6, 14), (3, 14)]
    first = [[40.846, 32.422, 57.846, 58.109], [73.754, 31.045, 91.527, 59.784]]
    first += [[4.562, 6.199, 25.562, 38.125]]
    np.testing.assert_allclose([tube.boxes[0] for tube in tubes], first, atol=1e-3)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", SETS)
def test_a_clip_at_scale_is_the_same_scene_in_finer_pixels(name: str, scale: int):
    last = np.array([0, 0, 1, 1])  # corners are inclusive
    for spec in plan_split(name, "train", 4, (64, 96), (16, 20)):
        frames, tubes = render_clip(spec)
        fine, fine_tubes = render_clip(spec, scale)
        assert fine.shape == (spec.frames, 64 * scale, 96 * scale, 3)
        small = [cv2.resize(f, (96, 64), interpolation=cv2.INTER_AREA) for f in fine]
        difference = np.abs(np.stack(small).astype(float) - frames)
        assert difference.mean() < 3
        assert np.abs(np.roll(frames, 2, axis=2).astype(float) - frames).mean() > 9
        for tube, other in zip(tubes, fine_tubes, strict=True):
            assert (tube.actor, tube.start, tube.end) == (other.actor, other.start, other.end)
            np.testing.assert_allclose(other.boxes + last, (tube.boxes + last) * scale, atol=1e-3)


def test_no_clip_is_rendered_smaller():
    with pytest.raises(ValueError, match="scale 0: must be at least 1"):
        render_clip(plan_split("easy", "train", 1)[0], scale=0)


@pytest.mark.parametrize("motion", MOTIONS)
def test_boxes_are_where_the_actor_is_drawn(motion: str):
    rng = np.random.default_rng(3)
    scene = Scene.random(rng, (96, 128), 40)
    scene.canvas[:] = 0
    actor = ActorSpec(0, "green", motion, "plain")
    sprite, tube = make_actor(rng, scene, actor, 50, np.array([60.0, 47.0]))
    frames = scene.render([sprite])
    for frame, box in zip(frames[tube.start - 1 :], tube.boxes):
        y, x = np.nonzero(frame.max(axis=2) > 90)  # at least half covered
        np.testing.assert_allclose([x.min(), y.min(), x.max(), y.max()], box, atol=1.5)
    # Untrimmed: the actor is there before and after what the tube covers.
    assert (frames[[0, -1]].max(axis=3) > 90).sum(axis=(1, 2)).min() > 400


def test_actions_start_and_end_gradually():
    for seed in range(50):
        extent = envelope(np.random.default_rng(seed), 48)
        assert extent[0] == extent[-1] == 0
        assert extent.max() == 1
        assert np.abs(np.diff(extent)).max() < 0.35
        acting = np.flatnonzero(extent >= 0.5)
        assert len(acting) == acting[-1] - acting[0] + 1
        assert ((extent > 0) & (extent < 1)).sum() >= 6


def test_flipping_keeps_the_figure():
    opacity, _, _ = figure(np.random.default_rng(0), 48)
    np.testing.assert_allclose(opacity, opacity[:, ::-1], atol=0.35)
    assert np.abs(opacity - opacity[:, ::-1]).mean() < 0.02


# --- what each stream sees, measured on decoded files ---


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Mean colours and flow statistics in boxes of a generated set, one row a sampled frame."""
    root = tmp_path_factory.mktemp("pairs")
    folder = generate(root, "pairs", {"train": 24}, (96, 128), (40, 48), progress=False)
    truth = GroundTruth.load(folder / "annotations.pkl")
    kinds, tubes = actor_types(truth, folder / "actors.json"), truth.tubes
    rows = []
    for index, video in enumerate(truth.videos.tolist()):
        frames = decode(folder / "videos" / f"{video}.mp4")
        flow = dis_flow(frames)
        for tube in np.flatnonzero(tubes.video == index):
            boxes = tubes.boxes[tubes.ptr[tube] : tubes.ptr[tube + 1]].round().astype(int)
            for k in range(4, len(boxes) - 4, 6):
                frame = int(tubes.start[tube]) - 1 + k
                around = flow[max(frame - 4, 0) : frame + 4]
                colour, contrast = colours_in(frames[frame], boxes[k])
                swings, speed = swings_in(around, boxes[k])
                rows.append(
                    (tube, tubes.classes[tube], kinds[tube], colour, contrast, swings, speed)
                )
    tube, label, kind, colour, contrast, swings, speed = map(np.array, zip(*rows))
    return SimpleNamespace(
        **{"tube": tube, "label": label, "kind": kind, "colour": colour, "contrast": contrast},
        **{"swings": swings, "speed": speed},
        appearance=label // len(MOTIONS),
        motion=label % len(MOTIONS),
    )


def colours_in(frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean colour of the box's middle less its grey level, and its distance to the rim's."""
    x1, y1, x2, y2 = box
    wide, tall = (x2 - x1) // 4, (y2 - y1) // 4
    inside = frame[y1 + tall : y2 - tall, x1 + wide : x2 - wide].mean(axis=(0, 1))
    patch = frame[max(y1 - 4, 0) : y2 + 5, max(x1 - 4, 0) : x2 + 5].astype(float)
    rim = np.concatenate([patch[:4].reshape(-1, 3), patch[-4:].reshape(-1, 3)]).mean(axis=0)
    return inside - inside.mean(), float(np.linalg.norm(inside - rim))


def swings_in(flow: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """Root mean squares of mean u, mean v and turning over the frames, of unit length."""
    x1, y1, x2, y2 = box
    u, v = np.moveaxis(flow[:, y1 : y2 + 1, x1 : x2 + 1], 3, 0)
    y, x = np.mgrid[: u.shape[1], : u.shape[2]]
    y, x = y - y.mean(), x - x.mean()
    turning = (x * v - y * u).mean(axis=(1, 2)) / np.sqrt((x**2 + y**2).mean())
    means = np.stack([u.mean(axis=(1, 2)), v.mean(axis=(1, 2)), turning])
    swings = np.sqrt((means**2).mean(axis=1))
    return swings / np.linalg.norm(swings), float(np.hypot(u, v).mean())


def accuracy(seen: SimpleNamespace, features: np.ndarray, target: np.ndarray) -> float:
    """Nearest class mean on plain actors: fitted on one half of the tubes, tested on the other."""
    plain = seen.kind == "plain"
    fit, test = plain & (seen.tube % 2 == 0), plain & (seen.tube % 2 == 1)
    means = np.stack([features[fit & (target == c)].mean(axis=0) for c in np.unique(target)])
    distances = np.linalg.norm(features[test][:, None] - means[None], axis=2)
    return float((np.unique(target)[distances.argmin(axis=1)] == target[test]).mean())


def test_colour_tells_the_look_but_not_the_motion(seen: SimpleNamespace):
    assert accuracy(seen, seen.colour, seen.appearance) > 0.95
    assert accuracy(seen, seen.colour, seen.motion) < 0.55


def test_flow_tells_the_motion_but_not_the_look(seen: SimpleNamespace):
    assert accuracy(seen, seen.swings, seen.motion) > 0.95
    assert accuracy(seen, seen.swings, seen.appearance) < 0.55


def test_each_stream_misses_what_the_other_finds(seen: SimpleNamespace):
    speed = {kind: np.median(seen.speed[seen.kind == kind]) for kind in KINDS}
    contrast = {kind: np.median(seen.contrast[seen.kind == kind]) for kind in KINDS}
    assert speed["still"] < 0.2 * speed["plain"]
    assert speed["camouflaged"] > 0.4 * speed["plain"]
    # The blots of the background alone differ by a third of that.
    assert contrast["camouflaged"] < 0.5 * contrast["plain"]
    assert contrast["still"] > 0.7 * contrast["plain"]


def test_distractors_are_in_both_streams():
    """Beside the actors of some clips there are colours as bright and motion as fast as theirs."""
    plan = [s for s in plan_split("pairs", "train", 30) if len(s.actors) == 1][:10]
    bright, fast = 0, 0
    for spec in plan:
        frames, (tube,) = render_clip(spec)
        free = np.ones(spec.size, bool)
        x1, y1 = np.floor(tube.boxes[:, :2].min(axis=0)).astype(int) - 8
        x2, y2 = np.ceil(tube.boxes[:, 2:].max(axis=0)).astype(int) + 9
        free[max(y1, 0) : y2, max(x1, 0) : x2] = False
        frame = frames[spec.frames // 2].astype(int)
        bright += ((np.ptp(frame, axis=2) > 110) & free).sum() > 150
        speed = np.linalg.norm(dis_flow(frames), axis=3).mean(axis=0)
        fast += ((speed > 0.8) & free).sum() > 150
    assert 3 <= bright < 10
    assert 3 <= fast < 10


# --- files ---


def test_files_agree_with_the_clips(tmp_path: Path):
    folder = generate(tmp_path, "pairs", **SMALL, progress=False)
    assert folder == tmp_path / "synthetic" / "pairs"
    truth = GroundTruth.load(folder / "annotations.pkl")
    assert truth.labels == labels_of("pairs")
    assert truth.split(1, "train").videos.tolist() == ["train/0000", "train/0001", "train/0002"]
    assert truth.split(1, "test").videos.tolist() == ["test/0000", "test/0001"]
    assert truth.select(split_videos(truth, "val")).videos.tolist() == ["val/0000"]
    with pytest.raises(ValueError, match=r"'dev': there are test, train, val"):
        split_videos(truth, "dev")
    actors = json.loads((folder / "actors.json").read_text())
    assert actors["flip_preserves_label"] is True
    for index, video in enumerate(truth.videos.tolist()):
        split, number = video.split("/")
        spec = plan_split("pairs", split, 3, SMALL["size"], SMALL["length"])[int(number)]
        frames, tubes = render_clip(spec)
        decoded = decode(folder / "videos" / f"{video}.mp4")
        assert decoded.shape == frames.shape
        assert truth.nframes[index] == len(frames)
        assert truth.resolution[index].tolist() == list(SMALL["size"])
        # The file halves the resolution of colour, but not of light.
        assert np.abs(decoded.mean(axis=3) - frames.mean(axis=3)).mean() < 3
        found = truth.tubes.take(truth.tubes.video == index)
        assert len(found) == len(tubes) == len(actors["videos"][video])
        for i, tube in enumerate(sorted(tubes, key=lambda tube: tube.actor.label)):
            told = actors["videos"][video][i]
            assert (told["label"], told["kind"]) == (tube.actor.label, tube.actor.kind)
            assert (told["appearance"], told["motion"]) == SETS["pairs"][found.classes[i]]
            assert (told["start"], told["end"]) == (found.start[i], found.last[i])
            np.testing.assert_array_equal(found.boxes[found.ptr[i] : found.ptr[i + 1]], tube.boxes)


def test_files_of_a_set_at_scale(tmp_path: Path):
    small = generate(tmp_path / "small", "easy", **SMALL, progress=False)
    folder = generate(tmp_path / "large", "easy", **SMALL, progress=False, scale=2)
    truth = GroundTruth.load(folder / "annotations.pkl")
    assert truth.resolution.tolist() == [[128, 192]] * 6
    assert decode(folder / "videos" / "test" / "0000.mp4").shape[1:] == (128, 192, 3)
    assert actor_types(truth, folder / "actors.json").tolist()
    coarse = GroundTruth.load(small / "annotations.pkl").tubes
    last = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(truth.tubes.boxes + last, (coarse.boxes + last) * 2, atol=1e-3)
    assert (folder / "actors.json").read_bytes() == (small / "actors.json").read_bytes()
    generate(tmp_path / "large", "easy", **SMALL, progress=False)
    assert decode(folder / "videos" / "test" / "0000.mp4").shape[1:] == (64, 96, 3)


def test_kinds_follow_a_selection_and_refuse_a_stranger(tmp_path: Path):
    folder = generate(tmp_path, "pairs", **SMALL, progress=False)
    truth = GroundTruth.load(folder / "annotations.pkl")
    kinds = actor_types(truth, folder / "actors.json")
    some = truth.select(["test/0001", "train/0002"])
    expected = [kinds[truth.tubes.video == list(truth.videos).index(v)] for v in some.videos]
    assert actor_types(some, folder / "actors.json").tolist() == np.concatenate(expected).tolist()
    other = generate(tmp_path / "other", "pairs", **SMALL, seed=1, progress=False)
    with pytest.raises(ValueError, match=r"actors\.json: no actor for the tube of train/0000"):
        actor_types(truth, other / "actors.json")


def test_a_finished_set_is_kept_and_an_interrupted_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = generate(tmp_path / "whole", "easy", **SMALL, progress=False)
    whole = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    write, written = synthetic.write_video, []

    def recorded(path: Path, frames: np.ndarray, *args: Any, **options: Any) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        write(path, frames, *args, **options)
        written.append(path)

    monkeypatch.setattr(synthetic, "write_video", recorded)
    generate(tmp_path / "whole", "easy", **SMALL, progress=False)
    assert not written
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "cut", "easy", **SMALL, progress=False)
    stamps = [path.stat().st_mtime_ns for path in written]
    monkeypatch.setattr(synthetic, "write_video", write)
    cut = generate(tmp_path / "cut", "easy", **SMALL, progress=False)
    assert [path.stat().st_mtime_ns for path in written] == stamps
    assert {p.relative_to(cut): p.read_bytes() for p in cut.rglob("*") if p.is_file()} == whole


def test_other_parameters_replace_a_set_and_other_counts_keep_its_clips(tmp_path: Path):
    folder = generate(tmp_path, "easy", **SMALL, progress=False)
    first = folder / "videos" / "train" / "0000.mp4"
    content, stamp = first.read_bytes(), first.stat().st_mtime_ns
    generate(tmp_path, "easy", **{**SMALL, "sizes": {"train": 2, "test": 1}}, progress=False)
    assert first.stat().st_mtime_ns == stamp
    assert len(list(folder.rglob("*.mp4"))) == 3
    assert len(GroundTruth.load(folder / "annotations.pkl").videos) == 3
    generate(tmp_path, "easy", **SMALL, seed=1, progress=False)
    assert first.read_bytes() != content


def test_a_deleted_video_or_a_damaged_spec_is_made_again(tmp_path: Path):
    folder = generate(tmp_path, "easy", **SMALL, progress=False)
    lost = folder / "videos" / "test" / "0001.mp4"
    content = lost.read_bytes()
    lost.unlink()
    generate(tmp_path, "easy", **SMALL, progress=False)
    assert lost.read_bytes() == content
    (folder / "spec.json").write_text("{")
    generate(tmp_path, "easy", **SMALL, progress=False)
    assert json.loads((folder / "spec.json").read_text())["complete"] is True


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    counts = ["--train", "1", "--val", "0", "--test", "1", "--length", "16", "18"]
    chosen = ["generate", "--root", str(tmp_path), "--set", "easy", "--scale", "2"]
    assert main([*chosen, *counts]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert GroundTruth.load(folder / "annotations.pkl").resolution.tolist() == [[192, 256]] * 2
    assert sorted(p.name for p in folder.rglob("*.mp4")) == ["0000.mp4", "0000.mp4"]
    assert main(["generate", "--root", str(tmp_path), *counts, "--size", "33", "64"]) == 2
    assert "(33, 64): sides must be even" in capsys.readouterr().err


def test_an_actor_seed_is_its_clips_alone():
    """Entropy that differs in the clip's index alone gives another background and other actors."""
    actor = ActorSpec(0, "red", "sway", "plain")
    clips = [render_clip(ClipSpec((0, index), (64, 96), 16, (actor,))) for index in range(2)]
    assert np.abs(clips[0][0][0].astype(int) - clips[1][0][0]).mean() > 10
