"""Points that a landmark detector corrects now and then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.multiface.offset_correction import MAX_DETECTIONS, TIME_CONSTANT_S, OffsetCorrector

POINTS = np.random.default_rng(0).uniform(0, 100, (12, 2))
SEEN = np.ones(12, bool)
FPS = 25.0


def still(
    corrector: OffsetCorrector, first: int, frames: int, xy: np.ndarray = POINTS
) -> np.ndarray:
    """The answer (K, N, 2) for points that do not move, from frame `first` on."""
    times = np.arange(first, first + frames) / FPS
    return corrector.apply(times, np.repeat(xy[None], frames, 0))


def test_without_another_detection_nothing_is_changed() -> None:
    np.testing.assert_array_equal(still(OffsetCorrector(POINTS), 0, 50), np.float32([POINTS] * 50))


def test_points_go_gently_half_of_the_way_to_a_second_detection_and_on_with_others() -> None:
    corrector, off = OffsetCorrector(POINTS), np.array([1.5, -1.0])
    still(corrector, 0, 25)
    corrector.observe(POINTS + off, SEEN)
    moved = still(corrector, 25, 500) - POINTS
    steps = np.linalg.norm(np.diff(moved, axis=0, prepend=0), axis=-1)
    assert steps.max() <= np.linalg.norm(off / 2) / (TIME_CONSTANT_S * FPS) * 1.01
    np.testing.assert_allclose(moved[-1], [off / 2] * 12, atol=1e-3)
    corrector.observe(POINTS + off, SEEN)
    np.testing.assert_allclose(still(corrector, 525, 500)[-1] - POINTS, [off] * 12, atol=1e-3)


def test_one_wild_detection_among_others_does_nothing() -> None:
    corrector = OffsetCorrector(POINTS)
    for k in range(4):
        still(corrector, 25 * k, 25)
        corrector.observe(POINTS + (40.0 if k == 2 else 0.0), SEEN)
    np.testing.assert_allclose(still(corrector, 100, 500)[-1], POINTS, atol=1e-4)


def test_of_hidden_points_nothing_is_learned() -> None:
    corrector, seen = OffsetCorrector(POINTS), SEEN.copy()
    seen[:5] = False
    still(corrector, 0, 1)
    corrector.observe(POINTS + 2, seen)
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
def test_offsets_turn_and_grow_with_the_face(
    angle: float, scale: float, x: float, y: float, seed: int
) -> None:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    off = np.random.default_rng(seed).normal(0, 1, POINTS.shape)
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 1)
    corrector.observe(POINTS + off, SEEN)
    corrector.observe(POINTS + off, SEEN)
    still(corrector, 1, 2000)
    elsewhere = POINTS @ turn + [x, y]
    # The pose is fitted to the points of the tracker alone.
    np.testing.assert_allclose(
        still(corrector, 2001, 1, elsewhere)[0], elsewhere + off @ turn, atol=1e-2
    )


def test_unknown_points_stay_unknown_and_teach_nothing() -> None:
    corrector = OffsetCorrector(POINTS)
    assert np.isnan(still(corrector, 0, 3, np.full_like(POINTS, np.nan))).all()
    corrector.observe(POINTS + 5, SEEN)
    np.testing.assert_allclose(still(corrector, 3, 500), np.float32([POINTS] * 500))


def test_old_detections_are_forgotten() -> None:
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 1)
    for off in [3.0] * MAX_DETECTIONS + [-2.0] * MAX_DETECTIONS:
        corrector.observe(POINTS + off, SEEN)
    np.testing.assert_allclose(still(corrector, 1, 1000)[-1], POINTS - 2, atol=1e-3)


@pytest.mark.parametrize("backwards", [False, True])
def test_chunks_do_not_matter(backwards: bool) -> None:
    times = np.arange(40) / FPS
    times = times[::-1] if backwards else times
    path = POINTS + np.cumsum(np.random.default_rng(1).normal(0, 1, (40, 1, 2)), 0)
    answers = []
    for length in (1, 8, 40):
        corrector = OffsetCorrector(POINTS)
        corrector.observe(POINTS + 1, SEEN)
        pieces = [slice(k, k + length) for k in range(0, 40, length)]
        parts = [corrector.apply(times[piece], path[piece]) for piece in pieces]
        answers.append(np.concatenate(parts))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
