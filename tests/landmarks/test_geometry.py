"""Test the measures of faces given by landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.landmarks.geometry import face_size, landmark_distance, view_distance

FACE = np.random.default_rng(0).uniform(0, 100, (68, 2))
ALL = np.ones(68, bool)


@given(st.floats(-3.1, 3.1), st.floats(0.2, 5), st.floats(-500, 500), st.floats(-500, 500))
def test_place_size_and_roll_are_no_difference_of_shape(
    angle: float, scale: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert view_distance(FACE @ turn + [x, y], FACE, ALL) == pytest.approx(0, abs=1e-9)


def test_a_narrower_face_has_another_shape() -> None:
    assert 0.02 < view_distance(FACE * [0.85, 1], FACE, ALL) < 0.1


def test_only_counted_and_known_landmarks_count() -> None:
    moved, counted = FACE.copy(), ALL.copy()
    moved[:5] += 40
    moved[5] = np.nan
    counted[:5] = False
    assert view_distance(moved, FACE, counted) == pytest.approx(0, abs=1e-9)
    assert view_distance(moved, FACE, ALL) > 0.01
    assert view_distance(moved, FACE, np.arange(68) < 10) == float("inf")


def test_a_distance_is_in_sizes_of_the_face() -> None:
    assert landmark_distance(FACE + [3, 4], FACE, ALL) == pytest.approx(5 / face_size(FACE))
