"""Test the slow correction of tracked points by detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.multiface.offset_correction import (
    MAX_DETECTIONS,
    TIME_CONSTANT_S,
    OffsetCorrector,
    robust_mean,
)

POINTS = np.random.default_rng(0).uniform(0, 100, (12, 2))
ALL_VISIBLE = np.ones(12, bool)
FPS = 25.0


def still(
    corrector: OffsetCorrector,
    first: int,
    frames: int,
    xy: np.ndarray = POINTS,
    visible: np.ndarray = ALL_VISIBLE,
) -> np.ndarray:
    """Apply the corrector to points that do not move, from frame `first` on: (K, N, 2)."""
    times = np.arange(first, first + frames) / FPS
    return corrector.apply(times, np.repeat(xy[None], frames, 0), np.repeat([visible], frames, 0))


def test_without_detections_points_do_not_change() -> None:
    np.testing.assert_array_equal(still(OffsetCorrector(POINTS), 0, 50), np.float32([POINTS] * 50))


def test_points_move_gently_to_the_middle_of_detections() -> None:
    corrector, off = OffsetCorrector(POINTS), np.array([1.5, -1.0])
    still(corrector, 0, 25)
    corrector.observe(POINTS + off)
    moved = still(corrector, 25, 500) - POINTS
    steps = np.linalg.norm(np.diff(moved, axis=0, prepend=0), axis=-1)
    assert steps.max() <= np.linalg.norm(off) / (TIME_CONSTANT_S * FPS) * 1.01
    np.testing.assert_allclose(moved[-1], [off / 2] * 12, atol=1e-3)
    for _ in range(9):
        corrector.observe(POINTS + off)
    np.testing.assert_allclose(still(corrector, 525, 500)[-1] - POINTS, [off] * 12, atol=0.05)


def test_a_single_outlier_has_no_effect() -> None:
    corrector = OffsetCorrector(POINTS)
    for k in range(4):
        still(corrector, 25 * k, 25)
        corrector.observe(POINTS + (40.0 if k == 2 else 0.0))
    np.testing.assert_allclose(still(corrector, 100, 500)[-1], POINTS, atol=0.3)


def test_a_point_that_is_hidden_has_its_own_offset() -> None:
    corrector, visible = OffsetCorrector(POINTS), ALL_VISIBLE.copy()
    visible[:5] = False
    still(corrector, 0, 1)
    corrector.observe(POINTS + 2)
    still(corrector, 1, 500, visible=visible)
    corrector.observe(POINTS - 4)
    moved = still(corrector, 501, 1000, visible=visible)[-1] - POINTS
    np.testing.assert_allclose(moved[:5], -4, atol=0.02)
    np.testing.assert_allclose(moved[5:], 0, atol=0.02)
    moved = still(corrector, 1501, 1000)[-1] - POINTS
    np.testing.assert_allclose(moved[:5], 1, atol=0.02)


def test_a_view_has_the_offset_that_was_detected_in_it() -> None:
    turned = POINTS * [0.8, 1.0]
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 100)
    corrector.observe(POINTS + 1)
    still(corrector, 100, 250)
    still(corrector, 350, 50, turned)
    corrector.observe(turned - 5)
    there = still(corrector, 400, 250, turned)[-1] - turned
    assert there.max() < -4
    back = still(corrector, 650, 250)[-1] - POINTS
    assert ((back > 0) & (back < 1)).all()


@given(st.integers(1, 9), st.floats(0.01, 10), st.integers(0, 2**32 - 1))
def test_the_robust_mean_turns_with_the_values_and_lies_among_them(
    count: int, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 4)) + 1j * random.normal(size=(count, 4))
    weight = random.uniform(0.1, 1, (count, 4))
    found = robust_mean(values, weight, noise)
    assert (np.abs(found) <= np.abs(values).max(0) + 1e-9).all()
    np.testing.assert_allclose(robust_mean(1j * values + 3, weight, noise), 1j * found + 3)


def test_a_value_without_weight_changes_nothing() -> None:
    values, weight = np.array([[1.0], [5.0], [5.0]]) + 0j, np.array([[1.0], [1.0], [1e-9]])
    np.testing.assert_allclose(robust_mean(values, weight, 0.1), [3.0], atol=1e-6)


def test_far_values_are_outvoted() -> None:
    values = np.array([[0.0], [0.0], [0.0], [900.0]]) + 0j
    assert abs(robust_mean(values, np.ones((4, 1)), 0.5)[0]) < 0.5


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
    for _ in range(MAX_DETECTIONS):
        corrector.observe(POINTS + off)
    corrector.apply(
        np.array([80.0]), POINTS[None], ALL_VISIBLE[None]
    )  # long enough for the whole way
    elsewhere = POINTS @ turn + [x, y]
    # The pose is fitted to the tracker's points.
    np.testing.assert_allclose(
        still(corrector, 2001, 1, elsewhere)[0], elsewhere + off @ turn, atol=1e-2
    )


def test_unknown_points_stay_unknown_and_are_not_observed() -> None:
    corrector = OffsetCorrector(POINTS)
    assert np.isnan(still(corrector, 0, 3, np.full_like(POINTS, np.nan))).all()
    corrector.observe(POINTS + 5)
    np.testing.assert_allclose(still(corrector, 3, 500), np.float32([POINTS] * 500))


def test_old_detections_are_dropped() -> None:
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 1)
    for off in [3.0] * MAX_DETECTIONS + [-2.0] * MAX_DETECTIONS:
        corrector.observe(POINTS + off)
    np.testing.assert_allclose(still(corrector, 1, 1000)[-1], POINTS - 2, atol=1e-3)


@pytest.mark.parametrize("backwards", [False, True])
def test_results_do_not_depend_on_the_chunks(backwards: bool) -> None:
    times = np.arange(40) / FPS
    times = times[::-1] if backwards else times
    path = POINTS + np.cumsum(np.random.default_rng(1).normal(0, 1, (40, 1, 2)), 0)
    seen = np.ones(path.shape[:2], bool)
    results = []
    for length in (1, 8, 40):
        corrector = OffsetCorrector(POINTS)
        corrector.observe(POINTS + 1)
        pieces = [slice(k, k + length) for k in range(0, 40, length)]
        parts = [corrector.apply(times[piece], path[piece], seen[piece]) for piece in pieces]
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
    corrector.observe(growth * small + off)
    after = still(corrector, 2, 1000, growth * small)[-1]
    np.testing.assert_allclose(after, growth * small + moved * off, atol=0.02)
