"""The mean of STAR and FAN: half of each, and nothing where one has no estimate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack.batch import records
from facetrack.detectors import DetectorOptions, LandmarkDetector, create
from facetrack.detectors.star_fan import StarFan
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options

CPU = DetectorOptions(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def both() -> LandmarkDetector:
    return create("star+fan", CPU)


def test_landmarks_and_scores_are_the_mean(both: LandmarkDetector) -> None:
    image = np.random.default_rng(0).integers(0, 255, (160, 200, 3)).astype(np.uint8)
    boxes = np.array([[40, 30, 140, 130], [900, 900, 950, 950]], np.float32)
    found = both.detect(image, boxes)
    star, fan = (create(name, CPU).detect(image, boxes) for name in ("star", "fan"))
    assert found.xy.dtype == found.score.dtype == np.float32
    assert np.abs(star.xy[0] - fan.xy[0]).max() > 1
    np.testing.assert_allclose(found.xy[0], (star.xy[0] + fan.xy[0]) / 2, atol=1e-3)
    np.testing.assert_allclose(found.score[0], (star.score[0] + fan.score[0]) / 2, atol=1e-5)
    assert np.isnan(found.xy[1]).all()
    assert not found.score[1].any()


def test_points_of_which_one_network_has_no_estimate_are_unknown(
    both: LandmarkDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(both, StarFan)
    image, box = np.full((160, 200, 3), 90, np.uint8), np.array([[40, 30, 140, 130]], np.float32)
    blind = [
        found._replace(xy=found.xy * np.nan)
        for found in both._members[1].detect_many([image], [box])
    ]
    monkeypatch.setattr(both._members[1], "detect_many", lambda *_: blind)
    found = both.detect(image, box)
    assert np.isnan(found.xy).all()
    assert not found.score.any()


def test_the_record_names_the_weights_of_both(both: LandmarkDetector) -> None:
    described = both.describe()
    assert described["name"] == "star+fan"
    assert described["weights"] == "star-s+fan-s"
    assert described["noncommercial"] is True
    # A batch finds out by the digests whether results are of the weights of today.
    assert (
        dict(records._weights(Options(init="star+fan"), guided=False))["detector"]
        == (described["sha256"])
    )
    parts = described["sha256"].split("+")
    assert parts == [create(name, CPU).describe()["sha256"] for name in ("star", "fan")]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="leave out --detector-weights"):
        create("star+fan", DetectorOptions(weights=str(tmp_path / "own.safetensors")))
