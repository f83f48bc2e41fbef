"""All landmarks of a frame by a few that are corrected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.corrections.displacement import (
    correct_landmarks,
    correct_placed,
    correlation,
    detector_covariance,
    face_places,
    fit_mean_face,
    only_corrected,
)
from facetrack.identity.shape_model import ShapeModel

MODEL = ShapeModel.load()
EYES = 100.0
"""Pixels between the outer eye corners of the mean face."""
MOUTH, BROWS, JAW = np.arange(48, 68), np.arange(17, 27), np.arange(17)


def face(seed: int) -> np.ndarray:
    """A face (68, 2) drawn from the model."""
    random = np.random.default_rng(seed)
    along = random.normal(size=len(MODEL.variances)) * np.sqrt(MODEL.variances)
    return EYES * (MODEL.mean + np.tensordot(along, MODEL.modes, 1)) + (300, 200)


def only(points: list[int] | np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(68, 2) with these points of a face, NaN for the others."""
    corrected = np.full_like(xy, np.nan)
    corrected[points] = xy[points]
    return corrected


def error(xy: np.ndarray, truth: np.ndarray, points: np.ndarray | slice = slice(None)) -> float:
    return float(np.linalg.norm(xy - truth, axis=-1)[points].mean())


# ---------------------------------------------------------------- corrected points


@pytest.mark.parametrize("shapes", [MODEL, None])
@pytest.mark.parametrize("detected", [True, False])
@pytest.mark.parametrize("points", [[30], [8, 36, 54], list(range(68))])
def test_corrected_points_are_hit_exactly(points, detected, shapes) -> None:
    truth = face(1)
    tracked = truth + np.random.default_rng(0).normal(0, 8, truth.shape)
    network = truth + np.random.default_rng(1).normal(0, 3, truth.shape) if detected else None
    found = correct_landmarks(tracked, only(points, truth), network, shapes)
    np.testing.assert_array_equal(found.xy[points], truth[points])
    assert np.isfinite(found.xy).all()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    scale=st.floats(0.1, 10),
    angle=st.floats(-3.1, 3.1),
    shift=st.tuples(st.floats(-500, 2000), st.floats(-500, 2000)),
    detected=st.booleans(),
)
def test_place_size_and_roll_of_the_face_do_not_matter(seed, scale, angle, shift, detected) -> None:
    truth, random = face(seed), np.random.default_rng(seed)
    tracked = truth + random.normal(0, 6, truth.shape)
    network = truth + random.normal(0, 2, truth.shape) if detected else None
    corrected = only([8, 36, 54], truth)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def moved(xy):
        return None if xy is None else xy @ turn + shift

    here = correct_landmarks(tracked, corrected, network, MODEL)
    there = correct_landmarks(moved(tracked), moved(corrected), moved(network), MODEL)
    np.testing.assert_allclose(there.xy, moved(here.xy), atol=1e-4 * scale * EYES)
    np.testing.assert_allclose(there.covariance, here.covariance, atol=1e-7)
    assert abs(there.pose) == pytest.approx(scale * abs(here.pose))


# ---------------------------------------------------------------- the others


@pytest.mark.parametrize("seed", range(4))
def test_a_face_that_is_off_as_a_whole_follows_three_points(seed: int) -> None:
    truth = face(seed)
    tracked = truth + (12, -7)
    found = correct_landmarks(tracked, only([8, 36, 54], truth), None, MODEL)
    assert error(found.xy, truth) < 0.5 * error(tracked, truth)


@pytest.mark.parametrize("seed", range(4))
def test_neighbours_follow_more_than_distant_points(seed: int) -> None:
    """The mouth has drifted off; one of its corners is corrected."""
    truth = face(seed)
    tracked = truth.copy()
    tracked[MOUTH] += (0, 10)
    found = correct_landmarks(tracked, only([48], truth), None, MODEL)
    near, far = np.array([49, 59, 60]), BROWS
    assert error(found.xy, truth, near) < 0.5 * error(tracked, truth, near)
    assert error(found.xy, tracked, far) < 0.2 * error(found.xy, tracked, near)
    more = correct_landmarks(tracked, only([48, 54, 57], truth), None, MODEL)
    assert error(more.xy, truth, MOUTH) < 0.4 * error(tracked, truth, MOUTH)


def test_points_that_are_right_stay_where_corrections_agree_with_them() -> None:
    truth = face(3)
    found = correct_landmarks(truth, only([30, 36, 45, 48, 54], truth), None, MODEL)
    assert error(found.xy, truth) < 1.0


def test_a_network_says_where_the_others_are() -> None:
    """The tracks are of something else, as a far correction of each of them shows."""
    truth, random = face(5), np.random.default_rng(2)
    tracked = truth + random.normal(0, 15, truth.shape)
    network = truth + random.normal(0, 1.5, truth.shape)
    corrected = only([8, 36, 54], truth)
    without = correct_landmarks(tracked, corrected, None, MODEL)
    found = correct_landmarks(tracked, corrected, network, MODEL)
    assert error(found.xy, truth) < 0.5 * error(without.xy, truth)
    assert error(found.xy, truth) < 2.5


def network_of(truth: np.ndarray, seed: int) -> np.ndarray:
    """Landmarks with the errors of a network."""
    random = np.random.default_rng(seed)
    covariance = detector_covariance(MODEL.mean @ [1, 1j])
    # The eigenvectors of x and y, which are alike, differ between processors.
    drawn = random.multivariate_normal(np.zeros(136), covariance, method="cholesky")
    return truth + EYES * drawn.reshape(2, 68).T


@pytest.mark.parametrize("seed", range(6))
def test_tracks_that_are_off_all_together_are_moved_back_as_a_whole(seed: int) -> None:
    """Shifted, turned and scaled by some 10 %: more exact than the network is."""
    truth, network = face(seed), network_of(face(seed), seed)
    turn = 1.08 * np.array([[0.998, 0.06], [-0.06, 0.998]])
    own = np.random.default_rng(seed).normal(0, 0.5, truth.shape)
    tracked = (truth - truth.mean(0)) @ turn + truth.mean(0) + (6, -4) + own
    found = correct_landmarks(tracked, only([8, 36, 54], truth), network, MODEL)
    assert error(tracked, truth) > 8
    assert error(found.xy, truth) < 0.2 * error(tracked, truth)
    assert error(found.xy, truth) < 0.6 * error(network, truth)
    deviation = np.sqrt(np.diag(found.covariance)) * EYES
    assert deviation.mean() < 3


@pytest.mark.parametrize("seed", range(6))
def test_tracks_that_are_right_but_for_a_part_are_not_moved_as_a_whole(seed: int) -> None:
    """Even where the network is a little off all together, and the mouth more so."""
    truth = face(seed)
    tracked = truth + np.random.default_rng(seed).normal(0, 0.5, truth.shape)
    tracked[MOUTH] += (2, 10)
    network = network_of(truth, seed) + (1, 1)
    found = correct_landmarks(tracked, only([48, 54, 57], truth), network, MODEL)
    rest = np.concatenate([np.arange(17, 27), np.arange(36, 48)])
    assert error(found.xy, truth, MOUTH) < 0.5 * error(tracked, truth, MOUTH)
    assert error(found.xy, truth, rest) < 0.7 * error(network, truth, rest)
    assert error(found.xy, truth, rest) < 2.5


def test_tracks_that_do_not_count_are_no_evidence() -> None:
    truth = face(6)
    corrected = only([8, 36, 45, 54, 30], truth)
    found = [
        correct_landmarks(truth + off, corrected, truth + 1.0, MODEL, use_tracked=False).xy
        for off in (0, 40)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    with pytest.raises(ValueError, match="nothing says"):
        correct_landmarks(truth, corrected, None, None, use_tracked=False)


# ---------------------------------------------------------------- how sure


def test_points_are_surer_the_nearer_a_correction_is() -> None:
    truth = face(7)
    corrected = only([36], truth)
    found = correct_landmarks(truth + 3.0, corrected, None, MODEL)
    deviation = np.sqrt(np.diag(found.covariance)).reshape(2, 68)
    assert deviation[:, 36].max() < 2e-4
    order = [36, 37, 27, 48]
    assert (np.diff(deviation[:, order].mean(0)) > 0).all()


def test_far_corrections_make_the_other_tracks_unsure() -> None:
    truth = face(8)
    near, far = (
        correct_landmarks(truth, only([30], truth + off), None, None).covariance
        for off in (1.0, 20.0)
    )
    assert np.diag(far)[31] > 4 * np.diag(near)[31]


@settings(max_examples=15)
@given(st.integers(0, 999), st.sets(st.integers(0, 67), max_size=8), st.booleans())
def test_covariances_are_covariances(seed: int, points: set[int], detected: bool) -> None:
    truth, random = face(seed), np.random.default_rng(seed)
    network = truth + random.normal(0, 2, truth.shape) if detected else None
    tracked = truth + random.normal(0, 6, truth.shape)
    found = correct_landmarks(tracked, only(sorted(points), truth), network, MODEL)
    np.testing.assert_allclose(found.covariance, found.covariance.T, atol=1e-12)
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-7


def test_a_network_s_errors_are_measured_by_part() -> None:
    covariance = detector_covariance(MODEL.mean @ [1, 1j])
    deviation = np.sqrt(np.diag(covariance)).reshape(2, 68)
    np.testing.assert_array_equal(deviation[0], deviation[1])
    assert deviation[0, 8] > deviation[0, 20] > deviation[0, 50] > deviation[0, 40]
    assert (covariance[:68, 68:] == 0).all(), "x and y are independent"
    related = correlation(MODEL.mean @ [1, 1j])
    np.testing.assert_allclose(np.diag(related), 1)
    assert related[36, 37] > related[36, 39] > related[36, 54] > 0


# ---------------------------------------------------------------- without tracks


def test_placed_landmarks_stay_where_nobody_corrects_them() -> None:
    placed = face(9) + np.random.default_rng(3).normal(0, 3, (68, 2))
    for shapes in (MODEL, None):
        found = correct_placed(placed, np.full((68, 2), np.nan), shapes)
        np.testing.assert_array_equal(found.xy, placed)
        assert (np.diag(found.covariance) > 1e-4).all()
        assert abs(found.pose) == pytest.approx(EYES, rel=0.15)


def test_placed_landmarks_follow_what_is_corrected() -> None:
    truth = face(10)
    placed = truth + (0, 5)
    found = correct_placed(placed, only([48, 54, 57], truth), MODEL)
    np.testing.assert_array_equal(found.xy[[48, 54, 57]], truth[[48, 54, 57]])
    assert error(found.xy, truth, MOUTH) < 0.5 * error(placed, truth, MOUTH)
    alone = correct_placed(placed, only([48], truth), None)
    np.testing.assert_array_equal(np.delete(alone.xy, 48, 0), np.delete(placed, 48, 0))


@pytest.mark.parametrize("count", [1, 4, 30])
def test_in_other_layouts_only_the_corrected_points_move(count: int) -> None:
    tracked = np.random.default_rng(4).uniform(0, 300, (count, 2))
    corrected = np.full((count, 2), np.nan)
    corrected[0] = (5, 6)
    found = only_corrected(tracked, corrected)
    np.testing.assert_array_equal(found.xy[0], (5, 6))
    np.testing.assert_array_equal(found.xy[1:], tracked[1:])
    deviation = np.diag(found.covariance).reshape(2, count)
    assert (deviation[:, 0] < deviation[:, 1:].min(initial=np.inf)).all()
    assert abs(found.pose) > 0
    nothing = only_corrected(np.full((count, 2), np.nan), corrected)
    np.testing.assert_array_equal(nothing.xy, np.broadcast_to((5, 6), (count, 2)))


@pytest.mark.parametrize("known", [[0], [36, 45], [8, 36, 54], list(range(68))])
def test_the_mean_face_is_fitted_to_what_is_known(known: list[int]) -> None:
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    truth = 120 * MODEL.mean @ turn + (300, 200)
    found = fit_mean_face(only(known, truth), MODEL)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[known].mean(0), truth[known].mean(0), atol=1e-6)
    if len(known) > 1:
        np.testing.assert_allclose(found, truth, atol=1e-6)
    assert fit_mean_face(only(known, truth), None).shape == (68, 2)


def test_places_on_the_face_do_not_depend_on_where_it_is() -> None:
    truth = face(11)
    np.testing.assert_allclose(face_places(3 * truth + 50), face_places(truth))
    mean = face_places(EYES * MODEL.mean)
    np.testing.assert_allclose(mean, MODEL.mean @ [1, 1j], atol=0.01)
