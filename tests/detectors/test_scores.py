"""Calibrated scores: probabilities, in the order of the network's own scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facetrack.detectors.scores import KEY, ScoreCalibration, log_odds
from facetrack.errors import FacetrackError

FILE = Path("star.safetensors")
OFFSETS = np.array([0.5, -1.0, 0.0])


@given(arrays.arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)))
def test_scores_become_probabilities_in_the_same_order(score: np.ndarray) -> None:
    calibrated = ScoreCalibration(1.5, OFFSETS).apply(score)
    assert calibrated.dtype == np.float32
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    for before, after in zip(score.T, calibrated.T, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


def test_what_was_not_found_stays_without_score() -> None:
    assert not ScoreCalibration(1.0, np.full(3, 4.0)).apply(np.zeros((2, 3))).any()


def test_the_calibration_is_the_logistic_function_of_the_log_odds() -> None:
    score = np.array([[0.2, 0.5, 0.9]])
    plain = ScoreCalibration(1.0, np.zeros(3)).apply(score)
    np.testing.assert_allclose(plain, score, rtol=1e-6)
    shifted = ScoreCalibration(2.0, OFFSETS).apply(score)
    np.testing.assert_allclose(log_odds(shifted), 2 * log_odds(score) + OFFSETS, atol=1e-5)


def test_calibrations_are_written_and_read() -> None:
    calibration = ScoreCalibration(1.25, OFFSETS)
    read = ScoreCalibration.read({KEY: calibration.write()}, 3, FILE)
    assert read is not None
    assert read.slope == 1.25
    np.testing.assert_array_equal(read.offsets, OFFSETS)
    assert ScoreCalibration.read({"arch": "star"}, 3, FILE) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "nothing", '{"slope": 1}', '{"slope": "x", "offsets": [0, 0, 0]}'),
        *(json.dumps({"slope": s, "offsets": [0, 0, 0]}) for s in (0, -1, 1e9)),
        *(json.dumps({"slope": 1, "offsets": o}) for o in ([0, 0], [[0, 0, 0]], "abc", None)),
        '{"slope": NaN, "offsets": [0, 0, 0]}',
        '{"slope": 1, "offsets": [0, 0, Infinity]}',
    ],
)
def test_damaged_calibrations_are_refused(text: str) -> None:
    with pytest.raises(FacetrackError, match=r"calibration inside star\.safetensors is damaged"):
        ScoreCalibration.read({KEY: text}, 3, FILE)
