"""Search for a lost face in the whole frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.trackers import StepResult
from facetrack.trackers.tapir import TAPIR
from facetrack.trackers.tapir.recovery import MIN_AGREEING_SHARE, fit_similarity_ransac, tile_views
from facetrack.trackers.tapir.tracker import MAX_LOST_FRAMES, TapirTracker
from facetrack.weights import BUNDLED
from facetrack.weights.store import path_of

QUERY = np.random.default_rng(0).uniform(0, 100, (40, 2))


def _moved(angle, scale, shift):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return QUERY @ np.array([[cos, sin], [-sin, cos]]) + shift


@given(st.floats(-1, 1), st.floats(0.6, 1.8), st.floats(-300, 300), st.floats(-300, 300))
def test_points_that_move_together_agree(angle, scale, dx, dy):
    xy = _moved(angle, scale, (dx, dy))
    found = fit_similarity_ransac(QUERY, xy, np.ones(40, bool))
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=1e-3)
    ones = np.column_stack([QUERY, np.ones(40)])
    np.testing.assert_allclose(ones @ found.matrix.T, xy, atol=0.1)


def test_a_few_outliers_are_ignored_and_many_are_not():
    for outliers, agrees in ((5, True), (round(40 * (1 - MIN_AGREEING_SHARE)) + 3, False)):
        xy = _moved(0.2, 1.1, (30, -10))
        xy[:outliers] = np.random.default_rng(1).uniform(-500, 500, (outliers, 2))
        assert (fit_similarity_ransac(QUERY, xy, np.ones(40, bool)) is not None) == agrees


def test_hidden_points_do_not_count_as_agreeing():
    seen = np.arange(40) < round(40 * MIN_AGREEING_SHARE) - 2
    assert fit_similarity_ransac(QUERY, QUERY, seen) is None


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_an_implausible_change_of_size_is_rejected(scale):
    assert fit_similarity_ransac(QUERY, _moved(0, scale, (0, 0)), np.ones(40, bool)) is None


@given(st.integers(40, 3000), st.integers(40, 3000), st.integers(33, 3500))
def test_views_cover_the_frame(width, height, side):
    covered = tile_views((width, height), side)
    for length, low in ((width, "left"), (height, "top")):
        starts = sorted({getattr(v, low) for v in covered})
        assert starts[0] <= 0
        assert starts[-1] + side >= length
        assert max(np.diff(starts), default=0) <= side / 2 + 1


SIDE = 8
ROWS, COLUMNS = np.mgrid[30 : 130 : SIDE * 1j, 35 : 105 : SIDE * 1j]
POINTS = np.stack([COLUMNS.ravel(), ROWS.ravel()], -1).astype(np.float32)
"""On the face, in pixels of its picture."""


def follow(places):
    """Track a face that is at `places` (x, y), None where it is not there."""
    skimage = pytest.importorskip("skimage.data")
    face = np.ascontiguousarray(skimage.astronaut()[40:190, 150:290])
    room = cv2.resize(skimage.coffee(), (640, 360))

    def frame(place):
        shown = room.copy()
        if place is not None:
            x, y = place
            shown[y : y + 150, x : x + 140] = face
        return shown

    path = path_of(BUNDLED["tapir-s"])
    tracker = TapirTracker(TAPIR.from_checkpoint(path), True, path, BUNDLED["tapir-s"])
    state = tracker.start(frame(places[0]), POINTS + places[0])
    chunks = [places[k : k + 8] for k in range(0, len(places), 8)]
    results = [tracker.step(state, np.stack([frame(place) for place in chunk])) for chunk in chunks]
    return StepResult(*(np.concatenate(parts) for parts in zip(*results, strict=True)))


def test_a_face_that_returns_elsewhere_is_found_again():
    """It disappears on the left and returns on the right, far from all earlier windows."""
    result = follow([(40, 120)] * 5 + [None] * 12 + [(450, 120)] * (3 * MAX_LOST_FRAMES))
    error = np.linalg.norm(result.xy[-1] - (POINTS + (450, 120)), axis=-1)
    assert np.median(error) < 2
    assert result.visible[-1].mean() > 0.8
    assert result.visible[8:16].mean() < 0.3


@pytest.mark.parametrize("shift", [(-60, 30), (60, 30)])
def test_a_lost_face_is_sought_in_the_whole_window(shift):
    """Not only near where it was when it was lost."""
    back = (200 + shift[0], 100 + shift[1])
    result = follow([(200, 100)] * 17 + [None] * 24 + [back] * 7)
    error = np.linalg.norm(result.xy[-7:] - (POINTS + back), axis=-1)
    assert result.visible[-7:].mean() > 0.7
    assert error.mean() < 5
