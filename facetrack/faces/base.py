"""What every face detector offers, and the geometry they share."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np


class FaceBoxes(NamedTuple):
    """Boxes of the F faces of one image, largest first.

    Every detector gives boxes in the style of dlib's HOG detector: square, from the brows to the
    chin, because the landmark detectors are trained on that style.

    Attributes:
        boxes: (F, 4) float32, x0 y0 x1 y1 in pixels, origin at the centre of the top-left pixel.
            The corners are the centres of the box's outermost pixels, so a box of w x h pixels
            has x1 - x0 = w - 1. Boxes may reach outside the image.
        score: (F,) float32, the detector's own confidence: larger is surer, comparable only
            between faces found by the same detector.
    """

    boxes: np.ndarray
    score: np.ndarray


class FaceDetector(Protocol):
    """Finds faces. An instance serves one thread at a time.

    Attributes:
        name: as on the command line.
    """

    name: str

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8 of any size and layout."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights and sha256, licence, options."""
        ...


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) contiguous uint8 of a (H, W, 3) or (H, W) uint8 image.

    Raises:
        ValueError: another shape or type, or no pixels.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """`image` at about `scale` times its size, at least one pixel a side; `image` itself at 1."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging when shrinking keeps fine texture from turning into false edges.
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how)


def map_back(boxes: np.ndarray, resized: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(F, 4) boxes found in `resized` as boxes of `image`; both by pixel centres."""
    ratio = np.array(image.shape[1::-1], float) / np.array(resized.shape[1::-1], float)
    ratio = np.tile(ratio, 2)
    return (np.asarray(boxes, float).reshape(-1, 4) + 0.5) * ratio - 0.5


def largest_first(boxes: np.ndarray, score: np.ndarray) -> FaceBoxes:
    """The boxes (F, 4) and scores (F,) ordered by area, as float32."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    score = np.asarray(score, np.float32).reshape(-1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-area, kind="stable")
    return FaceBoxes(boxes[order], score[order])
