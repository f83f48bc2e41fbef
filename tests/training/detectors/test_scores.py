"""The calibration of scores: fitted to what is exact, and written into the weights file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from facetrack.detectors.scores import KEY, ScoreCalibration, log_odds
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors import scores
from facetrack.training.detectors.scores import Judged, calibrate, describe, fit
from facetrack.weights.store import bundled_folder

SWAP = np.array(schemes.get("68").swap)


def judged(calibration: ScoreCalibration, count: int, seed: int) -> Judged:
    """Scores of a network, and landmarks that are as often exact as a calibration says."""
    random = np.random.default_rng(seed)
    score = random.uniform(0.02, 0.98, (count, 68))
    exact = random.uniform(0, 1, score.shape) < calibration.apply(score)
    return Judged(score, exact, np.zeros(score.shape, bool))


def test_the_calibration_that_made_the_observations_is_found() -> None:
    offsets = np.random.default_rng(0).normal(0.7, 0.6, 68)
    truth = ScoreCalibration(0.6, (offsets + offsets[SWAP]) / 2)
    found = fit(judged(truth, 4000, seed=1))
    assert found.slope == pytest.approx(truth.slope, abs=0.02)
    np.testing.assert_allclose(found.offsets, truth.offsets, atol=0.12)
    np.testing.assert_array_equal(found.offsets, found.offsets[SWAP])


def test_landmarks_that_are_always_exact_get_finite_offsets() -> None:
    some = judged(ScoreCalibration(1.0, np.zeros(68)), 200, seed=2)
    some.exact[:, [8, 30]] = [True, False]
    found = fit(some)
    assert np.isfinite(found.offsets).all()
    assert found.offsets[8] > 1
    assert found.offsets[30] < -1


def test_of_landmarks_scored_nine_in_ten_nine_in_ten_are_exact() -> None:
    truth = ScoreCalibration(1.7, np.full(68, 0.4))
    found = fit(judged(truth, 3000, seed=3))
    other = judged(truth, 3000, seed=4)
    score = found.apply(other.score)
    for low in (0.05, 0.25, 0.5, 0.75, 0.9):
        chosen = (score >= low) & (score < low + 0.05)
        assert other.exact[chosen].mean() == pytest.approx(score[chosen].mean(), abs=0.02)


def test_the_comparison_names_bands_and_hidden_landmarks() -> None:
    some = judged(ScoreCalibration(1.0, np.zeros(68)), 50, seed=5)
    some.hidden[:, :10] = True
    lines = describe(some)
    assert lines[0].startswith("held out, scored 0.00 to 0.30")
    assert "hidden" in lines[-1]
    assert len(lines) == 8


def test_the_calibration_is_added_to_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "star.safetensors"
    weights.write_bytes((bundled_folder() / "star-xs.safetensors").read_bytes())
    truth = ScoreCalibration(0.8, np.full(68, -0.3))
    seen = []

    def judge(detector, source, count):
        seen.append(detector.scores)
        return judged(truth, count, seed=count)

    monkeypatch.setattr(scores, "judge", judge)
    monkeypatch.setattr(scores, "picture_source", lambda faces, held_out=False: None)
    lines: list[str] = []
    fitted = calibrate("star", weights, tmp_path, count=400, progress=lines.append)
    assert seen[0] is None  # the network's own scores are calibrated
    assert seen[1] is fitted
    assert lines
    with (
        safe_open(weights, "numpy") as after,
        safe_open((bundled_folder() / "star-xs.safetensors"), "numpy") as before,
    ):
        content, known = dict(after.metadata()), dict(before.metadata())
        assert set(after.keys()) == set(before.keys())
    read = ScoreCalibration.read(content, 68, weights)
    assert read is not None
    np.testing.assert_allclose(read.offsets, fitted.offsets, atol=1e-4)
    content.pop(KEY)
    known.pop(KEY, None)
    assert content == known
    np.testing.assert_allclose(log_odds(read.apply(np.array(0.5)))[0], fitted.offsets[0], atol=1e-3)


def test_only_weights_of_networks_are_calibrated(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"not a \.safetensors"):
        calibrate("ert", tmp_path / "ert.dat", tmp_path)
