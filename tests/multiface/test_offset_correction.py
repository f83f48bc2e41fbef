"""Test the slow correction of tracked points by detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.multiface.offset_correction import MAX_DETECTIONS, TIME_CONSTANT_S, OffsetCorrector

POINTS = np.random.default_rng(0).uniform(0, 100, (12, 2))
ALL_VISIBLE = np.ones(12, bool)
FPS = 25.0


def still(
    corrector: OffsetCorrector, first: int, frames: int, xy: np.ndarray = POINTS
) -> np.ndarray:
    """Apply the corrector to points that do not move, from frame `first` on: (K, N, 2)."""
    times = np.arange(first, first + frames) / FPS
    return corrector.apply(times, np.repeat(xy[None], frames, 0))


def test_without_detections_points_do_not_change() -> None:
    np.testing.assert_array_equal(still(OffsetCorrector(POINTS), 0, 50), np.float32([POINTS] * 50))


def test_points_move_gently_to_the_median_of_detections() -> None:
    corrector, off = OffsetCorrector(POINTS), np.array([1.5, -1.0])
    still(corrector, 0, 25)
    corrector.observe(POINTS + off, ALL_VISIBLE)
    moved = still(corrector, 25, 500) - POINTS
    steps = np.linalg.norm(np.diff(moved, axis=0, prepend=0), axis=-1)
    assert steps.max() <= np.linalg.norm(off / 2) / (TIME_CONSTANT_S * FPS) * 1.01
    np.testing.assert_allclose(moved[-1], [off / 2] * 12, atol=1e-3)
    corrector.observe(POINTS + off, ALL_VISIBLE)
    np.testing.assert_allclose(still(corrector, 525, 500)[-1] - POINTS, [off] * 12, atol=1e-3)


def test_a_single_outlier_has_no_effect() -> None:
    corrector = OffsetCorrector(POINTS)
    for k in range(4):
        still(corrector, 25 * k, 25)
        corrector.observe(POINTS + (40.0 if k == 2 else 0.0), ALL_VISIBLE)
    np.testing.assert_allclose(still(corrector, 100, 500)[-1], POINTS, atol=1e-4)


def test_hidden_points_are_not_corrected() -> None:
    corrector, visible = OffsetCorrector(POINTS), ALL_VISIBLE.copy()
    visible[:5] = False
    still(corrector, 0, 1)
    corrector.observe(POINTS + 2, visible)
    moved = still(corrector, 1, 1000)[-1] - POINTS
    np.testing.assert_allclose(moved[:5], 0, atol=1e-5)
    np.testing.assert_allclose(moved[5:], 1, atol=1e-3)


@given(
    st.floats(-3.1, 3.1),
    st.floats(0.3, 3),
    st.floats(-50, 50),
    st.floats(-50, 50),
    st.integers(0, 2**32 - 1),
)
def test_offsets_rotate_and_scale_with_the_face(
    angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    off = np.random.default_rng(seed).normal(0, 1, POINTS.shape)
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 1)
    corrector.observe(POINTS + off, ALL_VISIBLE)
    corrector.observe(POINTS + off, ALL_VISIBLE)
    corrector.apply(np.array([80.0]), POINTS[None])  # long enough for the whole way
    elsewhere = POINTS @ turn + [x, y]
    # The pose is fitted to the tracker's points.
    np.testing.assert_allclose(
        corrector.apply(np.array([80.04]), elsewhere[None])[0], elsewhere + off @ turn, atol=1e-2
    )


def test_unknown_points_stay_unknown_and_are_not_observed() -> None:
    corrector = OffsetCorrector(POINTS)
    assert np.isnan(still(corrector, 0, 3, np.full_like(POINTS, np.nan))).all()
    corrector.observe(POINTS + 5, ALL_VISIBLE)
    np.testing.assert_allclose(still(corrector, 3, 500), np.float32([POINTS] * 500))


def test_old_detections_are_dropped() -> None:
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 1)
    for off in [3.0] * MAX_DETECTIONS + [-2.0] * MAX_DETECTIONS:
        corrector.observe(POINTS + off, ALL_VISIBLE)
    np.testing.assert_allclose(still(corrector, 1, 1000)[-1], POINTS - 2, atol=1e-3)


@pytest.mark.parametrize("backwards", [False, True])
def test_results_do_not_depend_on_the_chunks(backwards: bool) -> None:
    times = np.arange(40) / FPS
    times = times[::-1] if backwards else times
    path = POINTS + np.cumsum(np.random.default_rng(1).normal(0, 1, (40, 1, 2)), 0)
    results = []
    for length in (1, 8, 40):
        corrector = OffsetCorrector(POINTS)
        corrector.observe(POINTS + 1, ALL_VISIBLE)
        pieces = [slice(k, k + length) for k in range(0, 40, length)]
        parts = [corrector.apply(times[piece], path[piece]) for piece in pieces]
        results.append(np.concatenate(parts))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(("growth", "moved"), [(1.0, 0.5), (4.0, 1.0)])
def test_a_detection_of_a_far_smaller_face_no_longer_counts(growth: float, moved: float) -> None:
    """It placed the points less exactly than one that sees the face close up."""
    small, off = POINTS / 5, np.array([2.0, 1.0])
    corrector = OffsetCorrector(small)
    still(corrector, 0, 1, small)
    still(corrector, 1, 1, growth * small)
    corrector.observe(growth * small + off, ALL_VISIBLE)
    after = still(corrector, 2, 1000, growth * small)[-1]
    np.testing.assert_allclose(after, growth * small + moved * off, atol=0.02)
