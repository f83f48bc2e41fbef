"""What every landmark detector offers: N points of each face of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class DetectorOptions:
    """What a user may say of a landmark detector; each takes what concerns it.

    Attributes:
        weights: "auto", a name of `facetrack.weights` or the path of the user's own file.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        flip: average with what is found in the mirrored picture, where a detector can.
        precision: "auto", "float32" or "bfloat16", of networks.
    """

    weights: str = "auto"
    device: str = "auto"
    flip: bool = False
    precision: str = "auto"


class Landmarks(NamedTuple):
    """N landmarks of each of F faces.

    Attributes:
        xy: (F, N, 2) float32 pixels, origin at the centre of the top-left pixel; NaN where the
            detector has no idea. Points may lie outside the image.
        score: (F, N) float32 in [0, 1], how far the detector trusts each point; 0 where xy is NaN.
    """

    xy: np.ndarray
    score: np.ndarray


class LandmarkDetector(Protocol):
    """Places the landmarks of one scheme.

    Attributes:
        name: as on the command line.
        scheme: the point layout (`facetrack.landmarks.schemes`), e.g. "68".
    """

    name: str
    scheme: str

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Place the landmarks of the faces in `boxes`.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8, of any memory layout.
            boxes: (F, 4) x0 y0 x1 y1 in pixels, pixel centres, as `facetrack.face_detectors` gives them;
                F may be 0, the answer is then of shape (0, N, 2).
        """
        ...

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """The same for several images at once, with the boxes (F, 4) of each."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights file, sha256, licence, paper."""
        ...


def usable(box: np.ndarray, image: np.ndarray) -> bool:
    """Whether `box` (4,) is finite, has an extent and touches the image (H, W, ...)."""
    if not np.isfinite(box).all():
        return False
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    overlaps = x0 < width and y0 < height and x1 >= 0 and y1 >= 0
    return bool(overlaps and x1 - x0 >= 1 and y1 - y0 >= 1)
