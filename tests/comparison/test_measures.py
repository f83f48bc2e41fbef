"""The figures themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facetrack.comparison import measures
from facetrack.landmarks import schemes
from facetrack.tracks import Tracks

EYES = 50.0


def _tracks(xy: np.ndarray, visible: np.ndarray | None = None) -> Tracks:
    known = np.isfinite(xy).all(-1)
    return Tracks(
        xy=xy[:, None].astype(np.float32),
        visible=(known if visible is None else visible)[:, None],
        confidence=known[:, None].astype(np.float32),
        time=np.arange(len(xy)) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="68",
        size=(256, 256),
    )


@pytest.fixture
def face() -> np.ndarray:
    """(10, 68, 2) a face that stands still, its outer eye corners EYES pixels apart."""
    xy = np.random.default_rng(0).uniform(60, 180, (68, 2))
    xy[36], xy[45] = (80, 100), (80 + EYES, 100)
    return np.repeat(xy[None], 10, 0)


def test_every_measure_is_explained_once() -> None:
    keys = [measure.key for measure in measures.MEASURES]
    assert len(set(keys)) == len(keys)
    for measure in measures.MEASURES:
        assert measure.better in ("lower", "higher", "")
        assert measure.meaning.endswith(".")


def test_size_of_a_face_is_between_its_eye_corners(face: np.ndarray) -> None:
    assert measures.face_size(face[0], schemes.get("68")) == pytest.approx(EYES)
    square = np.array([[0.0, 0], [4, 0], [4, 9], [0, 9]])
    assert measures.face_size(square, schemes.get("points-4")) == pytest.approx(6)
    assert math.isnan(measures.face_size(square * 0, schemes.get("points-4")))


def test_size_of_the_consensus_outlasts_a_lost_method(face: np.ndarray) -> None:
    lost = face.copy()
    lost[3:] = np.nan
    np.testing.assert_allclose(measures.consensus_size([_tracks(lost)] * 2), EYES)
    np.testing.assert_allclose(measures.consensus_size([_tracks(lost), _tracks(face)]), EYES)


def test_jitter_is_that_of_seen_points(face: np.ndarray) -> None:
    seen = np.ones((10, 68), bool)
    face[5, 0, 0] += 10
    face[5, 1] += 100
    seen[5, 1] = False
    # Second differences of 10, 20 and 10 pixels, among those of all points seen around.
    wanted = 100 * (10 + 20 + 10) / EYES / (8 * 68 - 3)
    assert measures.jitter(_tracks(face, seen), np.full(10, EYES)) == pytest.approx(wanted)


def test_expected_error_takes_a_missing_point_for_a_failure() -> None:
    apart = np.full((4, 2), 3.0)
    missing = np.zeros((4, 2), bool)
    assert measures.expected_error(apart, missing, np.nan, np.nan) == pytest.approx(3)
    missing[:2] = True
    apart[:2] = np.nan
    assert measures.expected_error(apart, missing, np.nan, np.nan) == pytest.approx(6.5)
    assert measures.expected_error(apart * np.nan, missing & False, 6**0.5, 4.0) == pytest.approx(
        math.hypot(1, 2)
    )


def test_against_truth(face: np.ndarray) -> None:
    found = face.copy()
    found[:5, :, 0] += 0.5
    found[9] = np.nan
    truth_seen = np.ones((10, 68), bool)
    truth_seen[5:7] = False
    figures, error = measures.against_truth(_tracks(found), face, truth_seen, 0)
    assert figures["nrmse"] == pytest.approx(5 * 1.0 / 9, abs=1e-4)
    assert figures["failure_rate"] == pytest.approx(10)
    assert figures["auc"] == pytest.approx((5 * 0.9 + 4) / 10, abs=1e-4)
    # Of frames 1 to 9, two are said to be seen that are not, and one is lost.
    assert figures["occlusion_accuracy"] == pytest.approx(100 * 6 / 9)
    assert figures["delta_avg"] == pytest.approx(100 * 6 / 7)
    assert error[0] == pytest.approx(1, abs=1e-3)
    assert np.isnan(error[9])


def test_without_visibility_there_is_no_occlusion_accuracy(face: np.ndarray) -> None:
    truth = face.copy()
    truth[::2] = np.nan  # every other frame is annotated
    figures, error = measures.against_truth(_tracks(face), truth, None, 0)
    assert "occlusion_accuracy" not in figures
    assert "average_jaccard" not in figures
    assert figures["nrmse"] == pytest.approx(0, abs=1e-4)
    assert figures["failure_rate"] == 0
    assert np.isfinite(error).sum() == 5


def test_frames_that_nobody_annotated_do_not_count(face: np.ndarray) -> None:
    truth, seen = face.copy(), np.ones((10, 68), bool)
    truth[1::2], seen[1::2] = np.nan, False
    figures, _ = measures.against_truth(_tracks(face), truth, seen, 0)
    assert figures["occlusion_accuracy"] == pytest.approx(100)
    assert figures["average_jaccard"] == pytest.approx(100)


def test_frames_without_annotated_eye_corners_do_not_count(face: np.ndarray) -> None:
    truth = face.copy()
    truth[::2, 36] = np.nan
    figures, _ = measures.against_truth(_tracks(face), truth, None, 1)
    assert (figures["failure_rate"], figures["auc"]) == (0, pytest.approx(1, abs=1e-4))
    assert figures["delta_avg"] == pytest.approx(100)


def test_without_any_annotated_eye_corner_errors_are_unknown(face: np.ndarray) -> None:
    truth = face.copy()
    truth[:, 45] = np.nan
    figures, _ = measures.against_truth(_tracks(face), truth, None, 1)
    assert all(np.isnan(figures[key]) for key in ("nrmse", "failure_rate", "auc"))
    assert figures["delta_avg"] == pytest.approx(100)


def test_a_method_that_gives_no_answer_is_not_better_for_it(face: np.ndarray) -> None:
    lost, there = face.copy(), face.copy()
    lost[1:] = np.nan
    there[..., 0] += 0.5
    areas = [measures.against_truth(_tracks(xy), face, None, 0)[0]["auc"] for xy in (lost, there)]
    assert measures.rank(["lost", "there"], areas, measures.BY_KEY["auc"].better)[0] == "there"


def test_rank_puts_the_unknown_last() -> None:
    assert measures.rank("abcd", [2.0, math.nan, 1.0, 2.0], "lower") == ["c", "a", "d", "b"]
    assert measures.rank("abc", [2.0, math.nan, 3.0], "higher") == ["c", "a", "b"]


def test_best_is_what_is_shown_as_best() -> None:
    assert measures.best("nrmse", [2.001, 1.999, 3.0], 2) == {0, 1}
    assert measures.best("fps", [1.0, 3.0, math.nan], 1) == {1}
    assert measures.best("visible", [1.0, 3.0], 1) == set()
    assert measures.best("nrmse", [1.0, 1.0], 2) == set()
    assert measures.best("nrmse", [math.nan, math.nan], 2) == set()
