"""The default detector: a fast detector, and a slow and thorough one if that finds nothing.

According to benchmarks/calibration/face_boxes.py, MTCNN finds more faces than dlib's HOG detector
in about the same time and with fewer false alarms. dlib's CNN finds the faces that MTCNN misses,
but takes some eighty times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facetrack.face_detectors.base import FaceBoxes, FaceDetector
from facetrack.face_detectors.dlib_cnn import DlibCnn
from facetrack.face_detectors.mtcnn import Mtcnn


def quick() -> FaceDetector:
    """Create the fast detector."""
    return Mtcnn()


class Auto:
    """MTCNN, and dlib's CNN detector if that finds nothing."""

    name = "auto"

    def __init__(self) -> None:
        self._detectors: tuple[FaceDetector, FaceDetector] = (quick(), DlibCnn())

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8."""
        for detector in self._detectors:
            faces = detector.detect(image)
            if len(faces.boxes):
                break
        return faces

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: both detectors in order."""
        return {"name": self.name, "detectors": [d.describe() for d in self._detectors]}
