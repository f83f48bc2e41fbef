"""Convert the points of a landmark detector to another layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack import detectors
from facetrack.detectors.base import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.landmarks import schemes


class MappedDetector:
    """A landmark detector that selects the points of `scheme` from the points of `detector`."""

    def __init__(self, detector: LandmarkDetector, scheme: str) -> None:
        """
        Raises:
            FacetrackError: the detector's layout does not contain the points of `scheme`.
        """
        self.name, self.scheme = detector.name, scheme
        self._detector = detector
        self._indices = list(schemes.index_map(detector.scheme, scheme))

    @property
    def any_roll(self) -> bool:
        """Whether the wrapped detector handles faces at any roll."""
        return bool(getattr(self._detector, "any_roll", False))

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect landmarks as `LandmarkDetector.detect`, in the layout `scheme`."""
        return self._select(self._detector.detect(image, boxes))

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks as `LandmarkDetector.detect_many`, in the layout `scheme`."""
        return [self._select(found) for found in self._detector.detect_many(images, boxes)]

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: the wrapped detector and both layouts."""
        return {
            **self._detector.describe(),
            "scheme": self.scheme,
            "mapped_from": self._detector.scheme,
        }

    def _select(self, landmarks: Landmarks) -> Landmarks:
        return Landmarks(landmarks.xy[:, self._indices], landmarks.score[:, self._indices])


def create(name: str, options: DetectorOptions, scheme: str | None) -> LandmarkDetector:
    """Create a landmark detector by name whose points have the layout `scheme`.

    Args:
        name: of the detector.
        options: of the detector.
        scheme: a layout's name, or None for the detector's own layout.

    Raises:
        FacetrackError: no detector has this name, its weights are missing or unusable, or its
            layout cannot be converted to `scheme`.
    """
    detector = detectors.create(name, options)
    return detector if scheme in (None, detector.scheme) else MappedDetector(detector, scheme)


def option_warnings(detector: LandmarkDetector, options: DetectorOptions) -> list[str]:
    """Return a sentence for each option that has no effect on this detector."""
    if options.flip and not detector.describe().get("flip"):
        return [f"{detector.name} cannot average with the mirrored picture: --flip has no effect."]
    return []
