"""A landmark detector whose points are given in another layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack import detectors
from facetrack.detectors.base import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.landmarks import schemes


class Mapped:
    """Places the landmarks of `scheme` by picking them from those of `detector`."""

    def __init__(self, detector: LandmarkDetector, scheme: str) -> None:
        """
        Raises:
            FacetrackError: the detector's layout does not hold the points of `scheme`.
        """
        self.name, self.scheme = detector.name, scheme
        self._detector = detector
        self._indices = list(schemes.index_map(detector.scheme, scheme))

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """As `LandmarkDetector.detect`, in the layout `scheme`."""
        return self._pick(self._detector.detect(image, boxes))

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """As `LandmarkDetector.detect_many`, in the layout `scheme`."""
        return [self._pick(found) for found in self._detector.detect_many(images, boxes)]

    def describe(self) -> dict[str, Any]:
        """What the sidecar says: the detector's own words, and both layouts."""
        return {
            **self._detector.describe(),
            "scheme": self.scheme,
            "mapped_from": self._detector.scheme,
        }

    def _pick(self, found: Landmarks) -> Landmarks:
        return Landmarks(found.xy[:, self._indices], found.score[:, self._indices])


def create(name: str, options: DetectorOptions, scheme: str | None) -> LandmarkDetector:
    """Make the landmark detector called `name`; its points come in the layout `scheme`.

    Args:
        scheme: a layout's name, or None for the detector's own.

    Raises:
        FacetrackError: there is none of that name, its weights are missing or unusable, or its
            layout cannot be turned into `scheme`.
    """
    made = detectors.create(name, options)
    return made if scheme in (None, made.scheme) else Mapped(made, scheme)


def remarks(detector: LandmarkDetector, options: DetectorOptions) -> list[str]:
    """Sentences about options that have no effect on this detector."""
    if options.flip and not detector.describe().get("flip"):
        return [f"{detector.name} cannot average with the mirrored picture: --flip has no effect."]
    return []
