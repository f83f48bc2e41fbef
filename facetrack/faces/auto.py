"""The default: the fast detector, and the thorough one where it finds nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from facetrack.faces.base import FaceBoxes
from facetrack.faces.dlib_cnn import DlibCnn
from facetrack.faces.dlib_hog import DlibHog


class Auto:
    """dlib's HOG detector, at twice the size if need be, then dlib's CNN detector."""

    name = "auto"

    def __init__(self) -> None:
        self._detectors = (DlibHog(), DlibCnn())

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
