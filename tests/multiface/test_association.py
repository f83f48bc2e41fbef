"""Test what a detection says about a tracked face."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from facetrack.multiface.association import Sighting
from facetrack.multiface.detection import DetectedFace
from facetrack.multiface.face_track import FaceTrack

FACE = np.random.default_rng(0).uniform(0, 100, (68, 2)).astype(np.float32)


class PlausibleShapes:
    """A verifier that finds every shape plausible."""

    def shape_error(self, xy: np.ndarray, visible: np.ndarray) -> float:
        return 0.3


def sighting(distance: float) -> Sighting:
    detection = DetectedFace(np.zeros(4), FACE, np.ones(68, np.float32))
    verifier = cast(Any, PlausibleShapes())
    return Sighting(detection, cast(Any, None), 0, verifier, 0.3, None, distance)


@pytest.mark.parametrize(
    ("width", "distance", "drifted"),
    [(1.0, 0.09, False), (1.0, 0.11, True), (0.8, 0.09, True), (0.8, 0.04, False)],
)
def test_less_is_a_drift_on_a_face_that_has_turned(
    width: float, distance: float, drifted: bool
) -> None:
    face = FaceTrack(0, None, xy=FACE * np.float32([width, 1]), visible=np.ones(68, bool))
    face.started_xy = FACE
    assert sighting(distance).shows_drift(face) == drifted
