"""Points that are covered at the start move with the face until a detection sees them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.multiface.covered_points import CoveredPoints
from facetrack.trackers import StepResult

PLACED = np.random.default_rng(3).uniform(0, 100, (12, 2))
COVERED = np.arange(12) >= 8
PROBABILITY = np.where(COVERED, 0.1, 0.95)


def move(xy: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = scale * np.exp(1j * angle)
    moved = (xy[:, 0] + 1j * xy[:, 1]) * turn + complex(*shift)
    return np.stack([moved.real, moved.imag], -1)


def covered_points() -> CoveredPoints:
    found = CoveredPoints.find(PLACED, PROBABILITY)
    assert found is not None
    return found


def result_at(xy: np.ndarray) -> StepResult:
    shape = (1, len(xy))
    return StepResult(xy[None].astype(np.float32), np.ones(shape, bool), np.ones(shape, np.float32))


@given(
    angle=st.floats(-3, 3),
    scale=st.floats(0.3, 3),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
def test_covered_points_move_with_the_face(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    true = move(PLACED, angle, scale, shift)
    tracked = np.where(COVERED[:, None], PLACED, true)  # the tracker stays with the hand
    xy, visible, confidence = covered_points().apply(result_at(tracked))
    assert np.abs(xy[0] - true).max() < 1e-2 * max(scale, 1)
    assert (visible[0] == ~COVERED).all()
    assert (confidence[0, COVERED] <= 0.11).all()
    assert (confidence[0, ~COVERED] == 1).all()


def test_unknown_points_stay_unknown() -> None:
    xy, visible, _ = covered_points().apply(result_at(np.full((12, 2), np.nan)))
    assert np.isnan(xy).all()
    assert not visible[0, COVERED].any()


@pytest.mark.parametrize("probability", [None, np.ones(12), np.full(12, 0.2)])
def test_nothing_to_do(probability: np.ndarray | None) -> None:
    assert CoveredPoints.find(PLACED, probability) is None


def test_taken_points_are_no_longer_covered() -> None:
    points = covered_points()
    seen = np.where(np.arange(12) < 10, 0.9, 0.2)
    taken = points.uncovered(seen)
    assert taken.tolist() == [False] * 8 + [True] * 2 + [False] * 2
    left = points.without(taken, PLACED)
    assert left is not None
    assert left.covered.tolist() == [False] * 10 + [True] * 2
    assert left.without(left.uncovered(np.ones(12)), PLACED) is None


def test_without_a_judge_nothing_is_uncovered() -> None:
    assert not covered_points().uncovered(None).any()


def test_taken_points_fit_the_points_that_stay() -> None:
    # The detection is a little larger and further right than the tracker's points.
    detected = move(PLACED, 0.0, 1.02, (3.0, 0.0))
    merged = CoveredPoints.merge(PLACED, detected, COVERED)
    assert np.abs(merged - PLACED).max() < 1e-6


def test_a_fit_that_leads_far_away_is_not_used() -> None:
    detected = PLACED.copy()
    detected[:8] += np.array([60.0, 0])
    merged = CoveredPoints.merge(PLACED, detected, COVERED)
    assert np.allclose(merged[COVERED], detected[COVERED])
