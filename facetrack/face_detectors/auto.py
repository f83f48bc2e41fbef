"""The default: the detector of best recall for its time, and the thorough one if it finds nothing.

By benchmarks/calibration/face_boxes.py, MTCNN finds more faces than dlib's HOG detector in about
the same time and with fewer false alarms; what it misses, dlib's CNN finds, in some eighty times
that time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.face_detectors import mtcnn
from facetrack.face_detectors.base import FaceBoxes, FaceDetector
from facetrack.face_detectors.dlib_cnn import DlibCnn
from facetrack.face_detectors.dlib_hog import DlibHog


def quick() -> FaceDetector:
    """The fast half: MTCNN, or dlib's HOG detector where the package `mtcnn` is not installed."""
    try:
        mtcnn.files()
    except FacetrackError:
        return DlibHog()
    return mtcnn.Mtcnn()


class Auto:
    """A fast detector, then dlib's CNN detector where that finds nothing."""

    name = "auto"

    def __init__(self) -> None:
        self._detectors: tuple[FaceDetector, FaceDetector] = (quick(), DlibCnn())

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8."""
        for detector in self._detectors:
            found = detector.detect(image)
            if len(found.boxes):
                break
        return found

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: the two it asks, in order."""
        return {"name": self.name, "detectors": [d.describe() for d in self._detectors]}
