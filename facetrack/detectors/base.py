"""What every landmark detector offers: N points of each face of one image."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np


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
        scheme: the point layout (`facetrack.schemes`), e.g. "68".
    """

    name: str
    scheme: str

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Place the landmarks of the faces in `boxes`.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8, of any memory layout.
            boxes: (F, 4) x0 y0 x1 y1 in pixels, pixel centres, as `facetrack.faces` gives them;
                F may be 0, the answer is then of shape (0, N, 2).
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights file, sha256, licence, paper."""
        ...
