"""Points that the tracker has lost, against points that something covers."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.detectors import pipnet_meanface
from facetrack.multiface.detection import DetectedFace, is_stale

FACE = (pipnet_meanface.read("data_300W") * 200).astype(np.float32)
HIDDEN = np.arange(68) >= 40


def detection(visible: np.ndarray | None, score: float = 0.5) -> DetectedFace:
    box = np.concatenate([FACE.min(0), FACE.max(0)])
    return DetectedFace(box, FACE, np.full(68, score, np.float32), visible)


def tracked(offset: float) -> np.ndarray:
    """The face, with the points that the tracker does not see elsewhere; offset in faces."""
    xy = FACE.copy()
    xy[HIDDEN, 0] += offset * np.ptp(FACE, axis=0).mean()
    return xy


@pytest.mark.parametrize("score", [0.1, 0.5, 0.99])
def test_hidden_points_are_lost_where_the_detection_shows_them(score: float) -> None:
    """Whatever the detector's scores are: networks are not sure of the same things."""
    seen, covered = np.ones(68, np.float32), np.where(HIDDEN, 0.1, 0.95).astype(np.float32)
    assert is_stale(tracked(0.4), ~HIDDEN, detection(seen, score))
    assert not is_stale(tracked(0.4), ~HIDDEN, detection(covered, score))


def test_points_near_the_detection_are_not_lost() -> None:
    assert not is_stale(tracked(0.02), ~HIDDEN, detection(np.ones(68, np.float32)))


def test_without_knowing_what_is_covered_nothing_is_lost() -> None:
    assert not is_stale(tracked(0.4), ~HIDDEN, detection(None))


def test_a_tracker_that_sees_nearly_all_points_is_believed() -> None:
    few = np.arange(68) < 60
    assert not is_stale(tracked(0.4), few, detection(np.ones(68, np.float32)))
