"""Measures, by hand."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.evaluation import metrics

NAN = float("nan")

# A face of three points: eye corners 10 px apart, box 10 x 4.
TRUTH = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 4.0]])


def _off(*distances: float) -> np.ndarray:
    return TRUTH + np.array(distances)[:, None] * [0.6, -0.8]


def test_nme_ic() -> None:
    assert metrics.nme_ic(_off(1, 2, 3), TRUTH, (0, 1)) == pytest.approx(100 * 2 / 10)


def test_nme_box() -> None:
    assert metrics.nme_box(_off(1, 2, 3), TRUTH) == pytest.approx(100 * 2 / np.sqrt(40))


def test_nme_diag() -> None:
    assert metrics.nme_diag(_off(1, 2, 3), TRUTH) == pytest.approx(100 * 2 / np.sqrt(116))


def test_nme_of_many_faces_keeps_the_leading_axes() -> None:
    truth = np.broadcast_to(TRUTH, (4, 2, 3, 2))
    assert metrics.nme_ic(np.add(truth, (1, 0)), truth, (0, 1)).tolist() == [[10, 10]] * 4


def test_landmark_that_is_not_annotated_does_not_count() -> None:
    truth = TRUTH.copy()
    truth[2] = NAN
    assert metrics.nme_ic(_off(1, 2, 30), truth, (0, 1)) == pytest.approx(15)


def test_landmark_that_is_not_annotated_does_not_widen_the_box() -> None:
    truth = np.vstack([TRUTH, [[NAN, NAN]]])
    predicted = np.vstack([_off(1, 2, 3), [[99, 99]]])
    assert metrics.nme_box(predicted, truth) == pytest.approx(100 * 2 / np.sqrt(40))


def test_landmark_that_was_not_predicted_makes_the_face_nan() -> None:
    assert np.isnan(metrics.nme_ic(_off(1, NAN, 3), TRUTH, (0, 1)))


@pytest.mark.parametrize("truth", [np.full((3, 2), NAN), np.zeros((3, 2))])
def test_face_without_extent_has_no_nme(truth: np.ndarray) -> None:
    for nme in (
        metrics.nme_ic(TRUTH, truth, (0, 1)),
        metrics.nme_box(TRUTH, truth),
        metrics.nme_diag(TRUTH, truth),
    ):
        assert np.isnan(nme)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="predicted is"):
        metrics.nme_ic(TRUTH[:2], TRUTH, (0, 1))


@given(st.floats(0.1, 100), st.floats(-500, 500), st.integers(0, 1000))
def test_nme_does_not_change_with_scale_and_place(scale: float, move: float, seed: int) -> None:
    predicted = TRUTH + np.random.default_rng(seed).normal(size=(3, 2))
    moved = predicted * scale + move, TRUTH * scale + move
    assert metrics.nme_ic(*moved, (0, 1)) == pytest.approx(metrics.nme_ic(predicted, TRUTH, (0, 1)))
    assert metrics.nme_box(*moved) == pytest.approx(metrics.nme_box(predicted, TRUTH))
    assert metrics.nme_diag(*moved) == pytest.approx(metrics.nme_diag(predicted, TRUTH))


def test_mean_nme() -> None:
    assert metrics.mean_nme(np.array([1, NAN, 4])) == 2.5
    assert np.isnan(metrics.mean_nme(np.array([NAN])))


def test_failure_rate_is_above_the_threshold_and_counts_nan() -> None:
    assert metrics.failure_rate(np.array([9.9, 10.0, 10.1, NAN])) == 0.5


@pytest.mark.parametrize(
    ("errors", "limit", "area"),
    [
        ([0.0], 10, 1.0),
        ([10.0], 10, 0.0),
        ([5.0], 10, 0.5),
        ([2.0, 8.0], 10, 0.5),
        ([0.0, 50.0], 7, 0.5),
        ([3.5, NAN], 7, 0.25),
    ],
)
def test_auc(errors: list[float], limit: float, area: float) -> None:
    assert metrics.auc(np.array(errors), limit) == pytest.approx(area)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=30), st.floats(1, 20))
def test_auc_is_the_area_under_the_cumulative_curve(errors: list[float], limit: float) -> None:
    nme = np.array(errors)
    at = (np.arange(1000) + 0.5) / 1000 * limit
    sampled = (nme <= at[:, None]).mean()
    assert metrics.auc(nme, limit) == pytest.approx(sampled, abs=2e-3)


def test_no_faces() -> None:
    for measure in (metrics.mean_nme, metrics.failure_rate, lambda nme: metrics.auc(nme, 7)):
        assert np.isnan(measure(np.array([])))


def test_a_face_without_a_unit_says_nothing_of_a_prediction() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (4, 68, 2))
    truth[1, 36], truth[2, 0] = np.nan, np.nan
    truth[3] = np.nan
    by_corners = functools.partial(metrics.nme_ic, eye_corners=(36, 45))
    assert metrics.has_unit(by_corners, truth).tolist() == [True, False, True, False]
    assert metrics.has_unit(metrics.nme_box, truth).tolist() == [True, True, True, False]


# Point tracking: one point in six frames of a 256 x 256 picture.
PLACE = np.zeros((6, 1, 2)) + 100


def _track(*distances: float) -> np.ndarray:
    track = PLACE.copy()
    track[:, 0, 0] += distances
    return track


def _visible(flags: str) -> np.ndarray:
    return np.array([[flag == "v"] for flag in flags])


def test_point_tracking_by_hand() -> None:
    """Distances 0.5, 3 and 20 of three visible points said to be visible; a visible one 0.5 away
    said to be hidden; a hidden one said to be visible; a hidden one said to be hidden.

    Visible: 4. Closer than 1, 2, 4, 8, 16: 2, 2, 3, 3, 3 of 4.
    Said visible and close: 1, 1, 2, 2, 2. Said visible wrongly: 3, 3, 2, 2, 2.
    """
    found = metrics.point_tracking(
        _track(0.5, 3, 20, 0.5, 0, 0), _visible("vvvhvh"), PLACE, _visible("vvvvhh"), (256, 256)
    )
    assert found.delta_avg == pytest.approx((2 + 2 + 3 + 3 + 3) / 4 / 5)
    assert found.occlusion_accuracy == pytest.approx(4 / 6)
    assert found.average_jaccard == pytest.approx((2 * 1 / 7 + 3 * 2 / 6) / 5)


def test_point_at_the_distance_itself_is_not_within() -> None:
    visible = _visible("vvvvvv")
    found = metrics.point_tracking(_track(*[16] * 6), visible, PLACE, visible, (256, 256))
    assert found.delta_avg == 0


def test_each_axis_is_scaled_to_256_by_itself() -> None:
    """7 px of a 1024 x 512 picture are 1.75 across and 3.5 down."""
    visible = _visible("vvvvvv")
    across = metrics.point_tracking(np.add(PLACE, (7, 0)), visible, PLACE, visible, (1024, 512))
    down = metrics.point_tracking(np.add(PLACE, (0, 7)), visible, PLACE, visible, (1024, 512))
    assert (across.delta_avg, down.delta_avg) == pytest.approx((4 / 5, 3 / 5))


def test_lost_point_is_wrong_when_it_was_visible() -> None:
    found = metrics.point_tracking(
        _track(0, 0, 0, 0, 0, NAN), _visible("vvvvvh"), PLACE, _visible("vvvvvv"), (256, 256)
    )
    assert found == pytest.approx((5 / 6, 5 / 6, 5 / 6))


def test_hidden_point_needs_no_true_position() -> None:
    truth = PLACE.copy()
    truth[3:] = NAN
    found = metrics.point_tracking(PLACE, _visible("vvvvhh"), truth, _visible("vvvhhh"), (256, 256))
    assert found == pytest.approx((1, 5 / 6, 3 / 4))


def test_visible_point_without_a_position_does_not_count() -> None:
    truth = PLACE.copy()
    truth[0] = NAN
    found = metrics.point_tracking(PLACE, _visible("hvvvvv"), truth, _visible("vvvvvv"), (256, 256))
    assert found == pytest.approx((1, 1, 1))


def test_query_frame_is_left_out() -> None:
    visible = _visible("vvvvvv")
    found = metrics.point_tracking(
        _track(0, 0, 0, 20, 20, 20),
        visible,
        PLACE,
        visible,
        (256, 256),
        evaluated=metrics.after_query(6, np.array([2])),
    )
    assert found.delta_avg == 0


def test_nothing_visible_has_no_delta() -> None:
    hidden = _visible("hhhhhh")
    found = metrics.point_tracking(PLACE, hidden, PLACE, hidden, (256, 256))
    assert np.isnan(found.delta_avg)
    assert found.occlusion_accuracy == 1


@given(st.integers(0, 1000))
def test_jaccard_is_never_above_delta(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 256, (20, 5, 2))
    visible = rng.random((20, 5)) < 0.7
    found = metrics.point_tracking(
        truth + rng.normal(0, 4, truth.shape), rng.random((20, 5)) < 0.7, truth, visible, (256, 256)
    )
    assert 0 <= found.average_jaccard <= found.delta_avg <= 1


def test_frames_after_the_query() -> None:
    first = metrics.after_query(4, np.array([0, 2]))
    assert first.T.tolist() == [[False, True, True, True], [False, False, False, True]]


def test_frames_both_ways_of_the_query() -> None:
    assert metrics.after_query(4, 2, both_ways=True).tolist() == [True, True, False, True]


def test_jitter_of_a_steady_track_is_nothing() -> None:
    track = np.arange(10.0)[:, None, None] * [3, -2]
    assert metrics.jitter(track, 50) == 0


def test_jitter_by_hand() -> None:
    """x = 0, 1, 0, 1: second differences -2 and 2, over 10."""
    track = np.zeros((4, 1, 2))
    track[1::2, 0, 0] = 1
    assert metrics.jitter(track, 10) == pytest.approx(0.2)


def test_jitter_with_truth_forgives_true_acceleration() -> None:
    truth = (np.arange(6.0) ** 2)[:, None, None] * [1, 1]
    assert metrics.jitter(truth + 5, 10, truth) == pytest.approx(0)
    assert metrics.jitter(truth + 5, 10) == pytest.approx(2 * np.sqrt(2) / 10)


def test_jitter_divides_by_the_middle_frames_distance() -> None:
    track = np.zeros((3, 1, 2, 2))  # one face, two points
    track[1, ..., 0] = 1
    assert metrics.jitter(track, np.array([[1.0], [20.0], [1.0]])) == pytest.approx(0.1)


def test_jitter_skips_gaps() -> None:
    track = np.zeros((7, 1, 2))
    track[3] = NAN
    assert metrics.jitter(track, 10) == 0
    assert np.isnan(metrics.jitter(track[2:5], 10))
    assert np.isnan(metrics.jitter(track[:2], 10))


def test_cycle_error_by_hand() -> None:
    assert metrics.cycle_error(TRUTH, _off(1, 2, 3), 10) == pytest.approx(0.2)


def test_cycle_error_of_two_faces() -> None:
    start = np.stack([TRUTH, TRUTH])
    back = np.stack([_off(1, 1, 1), _off(2, 2, 2)])
    assert metrics.cycle_error(start, back, np.array([10.0, 5.0])) == pytest.approx(0.25)


def test_cycle_error_skips_lost_points() -> None:
    assert metrics.cycle_error(TRUTH, _off(1, NAN, 3), 10) == pytest.approx(0.2)
    assert np.isnan(metrics.cycle_error(TRUTH, np.full((3, 2), NAN), 10))
