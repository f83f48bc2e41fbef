"""Test the drawing of landmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.landmarks import schemes
from facetrack.viz.overlay import (
    HIDDEN,
    HIGH_CONFIDENCE,
    LOW_CONFIDENCE,
    confidence_colour,
    draw_landmarks,
)

IBUG = schemes.get("68")


def _image(height: int = 200, width: int = 300, value: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def _draw_points(
    image: np.ndarray,
    points: list[tuple[float, float]],
    visible: bool = True,
    confidence: float = 1,
) -> np.ndarray:
    xy = np.array([points], np.float32)
    shape = xy.shape[:2]
    return draw_landmarks(
        image,
        xy,
        np.full(shape, visible),
        np.full(shape, confidence, np.float32),
        schemes.free_scheme(len(points)),
    )


def _face(centre: tuple[float, float], size: float) -> np.ndarray:
    """Return points (1, 68, 2) on a grid; the overlay makes no assumptions about faces."""
    steps = np.linspace(-0.5, 0.5, 9)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)[:68]
    return (np.array(centre) + size * grid)[None].astype(np.float32)


def _changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(-1)


def test_given_image_is_not_modified() -> None:
    image = _image()
    drawn = _draw_points(image, [(100, 100)])
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_read_only_image_is_accepted() -> None:
    image = _image()[::-1, :, ::-1]
    image.flags.writeable = False
    assert _changed(image, _draw_points(image, [(100, 100)])).any()


@pytest.mark.parametrize(("x", "y"), [(100, 50), (100.5, 50), (100.25, 50.75)])
def test_marker_has_its_subpixel_position(x: float, y: float) -> None:
    image = _image()
    amount = np.abs(_draw_points(image, [(x, y)]).astype(float) - image).sum(-1)
    rows, columns = np.indices(amount.shape)
    centre = (amount * columns).sum() / amount.sum(), (amount * rows).sum() / amount.sum()
    assert centre == pytest.approx((x, y), abs=0.15)


def test_visible_point_shows_its_confidence() -> None:
    image = _image(1000, 1000)
    assert tuple(_draw_points(image, [(500, 500)], confidence=1)[500, 500]) == HIGH_CONFIDENCE
    assert tuple(_draw_points(image, [(500, 500)], confidence=0)[500, 500]) == LOW_CONFIDENCE


def test_hidden_point_is_a_ring() -> None:
    image = _image(1000, 1000)
    drawn = _draw_points(image, [(500, 500)], visible=False)
    assert tuple(drawn[500, 500]) == (128, 128, 128)
    difference = np.abs(drawn[490:511, 490:511].astype(int) - HIDDEN).sum(-1)
    assert difference.min() < 60  # a thin anti-aliased ring is nowhere quite its colour


@pytest.mark.parametrize("value", [0, 255])
def test_marker_shows_on_black_and_on_white(value: int) -> None:
    image = _image(1000, 1000, value)
    drawn = _draw_points(image, [(500, 500)]).astype(int)
    assert np.abs(drawn - image).sum(-1).max() > 250


@pytest.mark.parametrize("confidence", [float("nan"), -1.0, 2.0])
def test_invalid_confidence_has_a_colour(confidence: float) -> None:
    assert confidence_colour(confidence) in (LOW_CONFIDENCE, HIGH_CONFIDENCE)


@pytest.mark.parametrize(
    "points",
    [[(np.nan, np.nan)], [(50, np.nan)], [(-50, 20)], [(20, 1e9)], [(np.inf, 20)], [(3e38, -3e38)]],
)
def test_point_outside_the_image_is_not_drawn(points: list[tuple[float, float]]) -> None:
    image = _image()
    assert not _changed(image, _draw_points(image, points)).any()


def test_marker_at_the_border_is_drawn() -> None:
    image = _image(1000, 1000)
    assert _changed(image, _draw_points(image, [(-0.5, 500)])).any()


def test_points_of_a_region_are_joined() -> None:
    image = _image()
    xy = np.full((1, 68, 2), np.nan, np.float32)
    xy[0, 27:29] = (100, 20), (100, 180)  # two points of the nose bridge
    drawn = draw_landmarks(image, xy, np.ones((1, 68), bool), np.ones((1, 68)), IBUG)
    assert _changed(image, drawn)[100, 98:103].any()


def test_regions_are_not_joined_with_each_other() -> None:
    image = _image()
    xy = np.full((1, 68, 2), np.nan, np.float32)
    xy[0, [30, 31]] = (100, 20), (100, 180)  # end of the bridge, start of the base
    drawn = draw_landmarks(image, xy, np.ones((1, 68), bool), np.ones((1, 68)), IBUG)
    assert not _changed(image, drawn)[60:140].any()


def test_eye_is_closed() -> None:
    image = _image()
    xy = np.full((1, 68, 2), np.nan, np.float32)
    xy[0, [36, 41]] = (100, 20), (100, 180)
    drawn = draw_landmarks(image, xy, np.ones((1, 68), bool), np.ones((1, 68)), IBUG)
    assert _changed(image, drawn)[100, 98:103].any()


def _covered(size: float, side: int) -> float:
    """Return the share of the face's box that is drawn over, except for faint fringes."""
    image = _image(side, side)
    xy = _face((side / 2, side / 2), size)
    drawn = draw_landmarks(
        image, xy, np.ones((1, 68), bool), np.ones((1, 68)), schemes.free_scheme(68)
    )
    return float((np.abs(drawn.astype(int) - image).sum(-1) > 100).sum() / size**2)


def test_markers_grow_with_the_face() -> None:
    image = _image(2160, 3840)
    areas = []
    for size in (200, 1600):
        xy = _face((1900, 1000), size)
        drawn = draw_landmarks(
            image, xy, np.ones((1, 68), bool), np.ones((1, 68)), schemes.free_scheme(68)
        )
        areas.append(_changed(image, drawn).sum() / 68)
    assert areas[1] > 20 * areas[0]
    assert areas[1] > 300  # pixels a marker: still 4 by 4 when the 4k frame is shown at a quarter


@pytest.mark.parametrize("size", [60, 120, 1000])
def test_markers_do_not_hide_the_face(size: int) -> None:
    assert _covered(size, 1200) < 0.2


def test_an_outlier_does_not_enlarge_the_markers() -> None:
    image = _image(1000, 1000)
    xy = _face((300, 300), 100)
    visible, confidence = np.ones((1, 68), bool), np.ones((1, 68))
    normal = _changed(
        image, draw_landmarks(image, xy, visible, confidence, schemes.free_scheme(68))
    ).sum()
    xy[0, 0] = 1e7
    with_outlier = _changed(
        image, draw_landmarks(image, xy, visible, confidence, schemes.free_scheme(68))
    ).sum()
    assert with_outlier <= normal


def test_unknown_face_leaves_the_image() -> None:
    image = _image()
    xy = np.full((2, 68, 2), np.nan, np.float32)
    drawn = draw_landmarks(image, xy, np.zeros((2, 68), bool), np.zeros((2, 68)), IBUG)
    assert not _changed(image, drawn).any()


COORDINATES = st.one_of(
    st.floats(-1000, 1000, width=32),
    st.floats(width=32),
    st.sampled_from([0.0, 63.0, 63.5, -0.5, 127.0, -128.0]),
)


@given(st.data())
def test_any_positions_can_be_drawn(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 64)), data.draw(st.integers(1, 64))
    base = data.draw(st.lists(COORDINATES, min_size=8, max_size=8))
    xy = np.resize(np.array(base, np.float32), (1, 68, 2))
    visible = np.resize(np.array(data.draw(st.lists(st.booleans(), min_size=3))), (1, 68))
    image = np.zeros((height, width, 3), np.uint8)
    assert draw_landmarks(image, xy, visible, np.ones((1, 68)), IBUG).shape == image.shape


def test_lines_of_a_real_face_run_along_its_edges(shared_data: Path) -> None:
    """All changed pixels lie within five pixels of the annotated polylines."""
    folder = shared_data / "faces68_train"
    with np.load(folder / "landmarks68.npz") as archive:
        name, xy = str(archive["names"][0]), archive["points"][0]
    image = cv2.imread(str(folder / name))[:, :, ::-1]
    drawn = draw_landmarks(image, xy[None], np.ones((1, 68), bool), np.ones((1, 68)), IBUG)
    allowed = np.zeros(image.shape[:2], np.uint8)
    for line in IBUG.lines:
        corners = np.round(xy[list(line.indices)]).astype(np.int32)
        cv2.polylines(allowed, [corners], line.closed, 255, 11)
    changed = _changed(image, drawn)
    assert not changed[allowed == 0].any()
    assert changed.sum() > 1000


@pytest.mark.parametrize("where", [(60, 60), (-20, -20), (118, 118)])
def test_a_name_is_written_above_its_face(where):
    image = np.full((128, 128, 3), 90, np.uint8)
    xy = (np.float32([[0, 0], [24, 0], [12, 24]]) + np.float32(where))[None]
    seen, sure = np.ones((1, 3), bool), np.ones((1, 3), np.float32)
    scheme = schemes.for_count(3)
    plain = draw_landmarks(image, xy, seen, sure, scheme)
    named = draw_landmarks(image, xy, seen, sure, scheme, ["7"])
    changed = np.argwhere((plain != named).any(-1))
    assert len(changed) > 10
    if where == (60, 60):
        assert changed[:, 0].max() < 60
