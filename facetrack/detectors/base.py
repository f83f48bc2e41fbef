"""Common interface of the landmark detectors: N points for each face of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class DetectorOptions:
    """User options of a landmark detector. A detector ignores options that do not apply to it.

    Attributes:
        weights: "auto", a name in `facetrack.weights` or the path of the user's own file.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        flip: average with the prediction on the mirrored image, if the detector supports it.
        precision: of networks: "auto", "float32" or "bfloat16".
    """

    weights: str = "auto"
    device: str = "auto"
    flip: bool = False
    precision: str = "auto"


class Landmarks(NamedTuple):
    """N landmarks for each of F faces.

    Attributes:
        xy: (F, N, 2) float32 pixels, origin at the centre of the top-left pixel; NaN if the
            detector has no estimate. Points may lie outside the image.
        score: (F, N) float32 in [0, 1], the detector's confidence; 0 where xy is NaN.
    """

    xy: np.ndarray
    score: np.ndarray


class LandmarkDetector(Protocol):
    """A detector of the landmarks of one layout.

    Attributes:
        name: the name on the command line.
        scheme: the point layout (`facetrack.landmarks.schemes`), e.g. "68".
    """

    name: str
    scheme: str

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect the landmarks of the faces in `boxes`.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8, of any memory layout.
            boxes: (F, 4) x0 y0 x1 y1 in pixels (pixel centres), as returned by
                `facetrack.face_detectors`. F may be 0; the result then has shape (0, N, 2).
        """
        ...

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks in several images at once, given the boxes (F, 4) of each image."""
        ...

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: weights file, sha256, licence, paper."""
        ...


def is_usable_box(box: np.ndarray, image: np.ndarray) -> bool:
    """Return True if `box` (4,) is finite, at least 1 px wide and high, and overlaps the image.

    Args:
        box: (4,) x0 y0 x1 y1 in pixels (pixel centres).
        image: (H, W, ...).
    """
    if not np.isfinite(box).all():
        return False
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    overlaps = x0 < width and y0 < height and x1 >= 0 and y1 >= 0
    return bool(overlaps and x1 - x0 >= 1 and y1 - y0 >= 1)
