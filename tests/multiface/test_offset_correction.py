"""Test the correction of tracked points by detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.multiface.offset_correction import (
    GENTLE_S,
    MAX_DETECTIONS,
    OffsetCorrector,
)

POINTS = np.random.default_rng(0).uniform(0, 100, (12, 2))
ALL_VISIBLE = np.ones(12, bool)
SURE, UNSURE = np.full(12, 0.97), np.full(12, 0.1)
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


def test_points_move_gently_towards_detections() -> None:
    """The first detection counts, too, until many others say the same."""
    corrector, off = OffsetCorrector(POINTS), np.array([0.6, -0.4])
    still(corrector, 0, 25)
    corrector.observe(POINTS + off, SURE)
    moved = still(corrector, 25, 100) - POINTS
    steps = np.linalg.norm(np.diff(moved, axis=0, prepend=0), axis=-1)
    assert steps.max() <= 1.5 * np.linalg.norm(off) / (GENTLE_S * FPS)
    share = moved[-1] / off
    assert ((share > 0.3) & (share < 0.8)).all()
    for k in range(9):
        corrector.observe(POINTS + off, SURE)
        still(corrector, 25 * k + 125, 25)
    np.testing.assert_allclose(still(corrector, 350, 100)[-1] - POINTS, [off] * 12, atol=0.2)


def test_points_that_slipped_off_come_back_at_once() -> None:
    """Observed on a real face: an eye that was followed an eighth of the face beside its place."""
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 100)
    slipped = POINTS + np.where(np.arange(12) < 4, 12.0, 0.0)[:, None]
    still(corrector, 100, 4, slipped)
    assert not corrector.observe(POINTS, SURE)
    after = still(corrector, 104, 10, slipped)[-1]
    np.testing.assert_allclose(after, POINTS, atol=2.5)
    assert corrector.observe(POINTS, SURE)


def test_the_frames_of_the_last_clip_are_corrected_again() -> None:
    """What was detected at the end of a clip holds for the frames just before, too."""
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 25)
    before = still(corrector, 25, 25)
    corrector.observe(POINTS + 8, SURE)
    again = corrector.apply_again()
    assert again.shape == before.shape
    assert (again[0] - POINTS < 4).all()
    assert (again[-1] - POINTS > 5).all()
    np.testing.assert_array_equal(corrector.apply_again(), again)
    # Time goes on from the end of the clip.
    following = still(corrector, 50, 1)[0]
    assert (np.abs(following - again[-1]) < 0.5).all()


def test_a_detection_that_is_unsure_hardly_counts() -> None:
    corrector = OffsetCorrector(POINTS)
    for k in range(4):
        still(corrector, 25 * k, 25)
        corrector.observe(POINTS + (4.0 if k == 2 else 0.0), UNSURE if k == 2 else SURE)
    np.testing.assert_allclose(still(corrector, 100, 500)[-1], POINTS, atol=0.3)


def test_a_single_outlier_is_forgotten() -> None:
    corrector = OffsetCorrector(POINTS)
    for k in range(6):
        still(corrector, 25 * k, 25)
        corrector.observe(POINTS + (15.0 if k == 2 else 0.0), SURE)
    np.testing.assert_allclose(still(corrector, 150, 200)[-1], POINTS, atol=1.0)


def test_a_point_that_is_hidden_has_its_own_offset() -> None:
    corrector, visible = OffsetCorrector(POINTS), ALL_VISIBLE.copy()
    visible[:5] = False
    still(corrector, 0, 1)
    for k in range(8):
        still(corrector, 50 * k + 1, 25)
        corrector.observe(POINTS + 0.5, SURE)
        still(corrector, 50 * k + 26, 25, visible=visible)
        corrector.observe(POINTS - 3, SURE)
    moved = still(corrector, 401, 100, visible=visible)[-1] - POINTS
    assert (moved[:5] < -2).all()
    moved = still(corrector, 501, 100)[-1] - POINTS
    assert (np.abs(moved[:5]) < 1).all()


def test_a_view_has_the_offset_that_was_detected_in_it() -> None:
    turned = POINTS * [0.8, 1.0]
    corrector = OffsetCorrector(POINTS)
    still(corrector, 0, 100)
    corrector.observe(POINTS + 1, SURE)
    still(corrector, 100, 250)
    still(corrector, 350, 50, turned)
    corrector.observe(turned - 5, SURE)
    there = still(corrector, 400, 50, turned)[-1] - turned
    assert there.max() < -2.5
    back = still(corrector, 650, 250)[-1] - POINTS
    assert (back > -1).all()


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
    corrector.observe(POINTS + off, SURE)
    there = still(corrector, 1, 50)[-1] - POINTS
    elsewhere = POINTS @ turn + [x, y]
    # The pose is fitted to the tracker's points.
    after = still(corrector, 51, 1, elsewhere)[0] - elsewhere
    np.testing.assert_allclose(after, there @ turn, atol=0.02 * max(scale, 1))


def test_unknown_points_stay_unknown_and_are_not_observed() -> None:
    corrector = OffsetCorrector(POINTS)
    assert np.isnan(still(corrector, 0, 3, np.full_like(POINTS, np.nan))).all()
    assert corrector.observe(POINTS + 5, SURE)
    np.testing.assert_allclose(still(corrector, 3, 500), np.float32([POINTS] * 500))


def test_old_detections_are_dropped() -> None:
    moved = []
    for first in (3.0, -3.0):
        corrector = OffsetCorrector(POINTS)
        still(corrector, 0, 1)
        for off in [first] * MAX_DETECTIONS + [-2.0] * MAX_DETECTIONS:
            corrector.observe(POINTS + off, SURE)
        moved.append(still(corrector, 1, 50)[-1])
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_allclose(moved[0], POINTS - 2, atol=0.4)


@pytest.mark.parametrize("backwards", [False, True])
def test_results_do_not_depend_on_the_chunks(backwards: bool) -> None:
    times = np.arange(40) / FPS
    times = times[::-1] if backwards else times
    path = POINTS + np.cumsum(np.random.default_rng(1).normal(0, 1, (40, 1, 2)), 0)
    seen = np.ones(path.shape[:2], bool)
    results = []
    for length in (1, 8, 40):
        corrector = OffsetCorrector(POINTS)
        corrector.observe(POINTS + 1, SURE)
        pieces = [slice(k, k + length) for k in range(0, 40, length)]
        parts = [corrector.apply(times[piece], path[piece], seen[piece]) for piece in pieces]
        results.append(np.concatenate(parts))
    assert np.abs(results[0] - path).max() > 0.1
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_detection_of_a_far_smaller_face_counts_less() -> None:
    """It placed the points less exactly than one that sees the face close up."""
    small, off, shares = POINTS / 10, np.array([2.0, 1.0]), []
    for growth in (1.0, 10.0):
        corrector = OffsetCorrector(small)
        still(corrector, 0, 1, small)
        still(corrector, 1, 1, growth * small)
        corrector.observe(growth * small + off * growth / 10, SURE)
        after = still(corrector, 2, 100, growth * small)[-1]
        shares.append(((after - growth * small) / (off * growth / 10)).mean())
    assert shares[0] < 0.8 * shares[1]


@given(
    st.lists(st.sampled_from([0.0, 0.3, 1.0, float("nan")]), min_size=12, max_size=12),
    st.floats(1e-12, 1e6),
    st.integers(0, 2**32 - 1),
)
def test_any_scores_and_sizes_keep_points_finite(
    scores: list[float], size: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    corrector, face = OffsetCorrector(POINTS), POINTS * size
    for k in range(3):
        still(corrector, 5 * k, 5, face)
        corrector.observe(face + random.normal(0, 1, face.shape), np.array(scores))
    assert np.isfinite(corrector.apply_again()).all()


@pytest.mark.parametrize("fps", [30.0, 120.0, 1000.0])
@pytest.mark.parametrize("seed", range(8))
def test_detections_in_every_frame_of_a_face_that_moves_are_fitted(fps: float, seed: int) -> None:
    """Some points move much, in views that are seen at nearly the same time."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (68, 2))
    moves = np.zeros((2, 68, 2))
    moves[:, rng.choice(68, 8, replace=False)] = rng.normal(0, 25, (2, 8, 2))
    corrector = OffsetCorrector(points)
    for k in range(2 * MAX_DETECTIONS):
        xy = points + np.tensordot(rng.uniform(-1, 1, 2), moves, 1)
        visible = rng.random(68) < 0.9
        moved = corrector.apply(np.array([k / fps]), xy[None], visible[None])
        assert np.isfinite(moved).all()
        slipped = xy + rng.normal(0, 1, xy.shape) + 20 * (np.arange(68) % 7 == 0)[:, None]
        corrector.observe(slipped, rng.uniform(0.5, 1, 68))
    assert np.abs(corrector.apply_again()[-1] - xy).max() < 40
