"""Labels: never over one another, never cut, and always of one line."""

from __future__ import annotations

import numpy as np
import pytest

from pcsc_d2.video.labels import fit, ink_on, line_height, place_labels, text_width, wrap, write


@pytest.mark.parametrize("count", [1, 4, 12, 60])
@pytest.mark.parametrize("seed", range(25))
def test_places_are_apart_and_inside(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(40, 400, 2).tolist()
    # Boxes may lie outside, be turned over, or be all at one place.
    boxes = rng.integers(-50, 450, (count, 4)) if seed % 3 else np.tile([9, 9, 30, 30], (count, 1))
    sizes = [
        (int(w), int(h)) for w, h in zip(rng.integers(5, 90, count), rng.integers(8, 20, count))
    ]
    places = place_labels(boxes, sizes, (height, width))
    covered = np.zeros((height, width), int)
    for place, (w, h) in zip(places, sizes, strict=True):
        if place is not None:
            x, y = place
            assert 0 <= x <= width - w
            assert 0 <= y <= height - h
            covered[y : y + h, x : x + w] += 1
    assert covered.max() == 1
    assert places[0] is not None or sizes[0][0] > width


def test_a_label_is_left_out_only_where_there_is_no_room() -> None:
    boxes = np.tile([50, 50, 60, 60], (10, 1))
    places = place_labels(boxes, [(100, 20)] * 10, (100, 100))
    assert sum(place is not None for place in places) in (3, 4, 5)
    assert len(set(places) - {None}) == sum(place is not None for place in places)
    assert None not in place_labels(boxes, [(40, 10)] * 10, (240, 320))
    assert place_labels(boxes[:1], [(101, 20)], (100, 100)) == [None]


def test_a_label_stands_on_its_box_where_nothing_is_in_the_way() -> None:
    boxes = np.array([[30, 40, 60, 80], [100, 2, 120, 30]])
    assert place_labels(boxes, [(20, 10)] * 2, (100, 200)) == [(30, 30), (100, 0)]


@pytest.mark.parametrize("text", ["run", "a long name 0.93", "two\nlines\tand a tab", "汉字", ""])
@pytest.mark.parametrize("width", [0, 4, 40, 400])
def test_text_fits(text: str, width: int) -> None:
    fitted = fit(text, 12, width)
    assert text_width(fitted, 12) <= width
    assert "\n" not in fitted
    if width == 400:
        assert fitted == " ".join(text.split())


@pytest.mark.parametrize("text", ["run", "frame 3: v_Basketball_g01_c01 of UCF101", "x" * 300])
def test_wrapped_text_is_whole(text: str) -> None:
    lines = wrap(text, 12, 64)
    assert max(text_width(line, 12) for line in lines) <= 64
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_text_is_readable_on_any_colour() -> None:
    for color in np.random.default_rng(0).integers(0, 256, (200, 3)).tolist():
        light, dark = sorted([luminance(color), luminance(ink_on(tuple(color)))], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG, large text and graphics


def luminance(color: list[int]) -> float:
    parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_text_is_cut_at_the_border() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    write(image, "WWWWWWWW", 20, 4, 12, (255, 255, 255))
    assert image[4:, 20:].any()
    assert not image[:4].any()
    assert line_height(12) > 10
