"""Common interface of the face detectors, and the geometry they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np


class FaceBoxes(NamedTuple):
    """Boxes of the F faces of one image, largest first.

    Every detector returns boxes in the style of dlib's HOG detector: square, from the brows to the
    chin. The landmark detectors are trained on that style.

    Attributes:
        boxes: (F, 4) float32, x0 y0 x1 y1 in pixels, origin at the centre of the top-left pixel.
            The corners are the centres of the box's outermost pixels, so a box of w x h pixels
            has x1 - x0 = w - 1. Boxes may reach outside the image.
        score: (F,) float32, the detector's own confidence. Larger means more confident; comparable
            only between faces found by the same detector.
    """

    boxes: np.ndarray
    score: np.ndarray


class FivePointFaces(NamedTuple):
    """F faces from a detector with landmarks, with boxes in the detector's own style.

    Attributes:
        boxes: (F, 4) x0 y0 x1 y1 in pixels (pixel centres, as the points).
        points: (F, 5, 2) eyes, nose, mouth corners. The eye and the corner on the image's left come
            first.
        score: (F,) the detector's own confidence.
    """

    boxes: np.ndarray
    points: np.ndarray
    score: np.ndarray


class FaceDetector(Protocol):
    """A face detector. An instance serves one thread at a time.

    Attributes:
        name: the name on the command line.
    """

    name: str

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8 of any memory layout."""
        ...

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: weights and sha256, licence, options."""
        ...


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an image by about `scale`, to at least one pixel per side.

    Args:
        image: (H, W, ...) uint8.
        scale: of the sides; the image itself is returned for 1.
    """
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging when downsampling keeps fine texture from turning into false edges.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=interpolation)


def map_back(boxes: np.ndarray, resized: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Convert boxes (F, 4) from `resized` to `image`, both in pixels (pixel centres)."""
    return points_back(np.asarray(boxes).reshape(-1, 2, 2), resized, image).reshape(-1, 4)


def points_back(points: np.ndarray, resized: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Convert points (..., 2) from `resized` to `image`, both in pixels (pixel centres)."""
    ratio = np.array(image.shape[1::-1], float) / np.array(resized.shape[1::-1], float)
    return (np.asarray(points, float) + 0.5) * ratio - 0.5


def largest_first(boxes: np.ndarray, score: np.ndarray) -> FaceBoxes:
    """Sort boxes (F, 4) and scores (F,) by decreasing area and convert them to float32."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    score = np.asarray(score, np.float32).reshape(-1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-area, kind="stable")
    return FaceBoxes(boxes[order], score[order])


def non_maximum_suppression(
    boxes: np.ndarray, score: np.ndarray, max_overlap: float, of: str = "union"
) -> np.ndarray:
    """Drop boxes that overlap a box of higher score (greedy non-maximum suppression).

    Args:
        boxes: (F, 4) x0 y0 x1 y1.
        score: (F,).
        max_overlap: maximum intersection of two kept boxes, as a fraction of the reference area.
        of: the reference area: "union" of both boxes, or the area of the "smaller" box.

    Returns:
        (K,) indices of the kept boxes, highest score first.
    """
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    area = (opposite - corner).prod(1)
    order, kept = np.argsort(-score, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        overlap = np.minimum(opposite[best], opposite[rest]) - np.maximum(
            corner[best], corner[rest]
        )
        intersection = overlap.clip(0).prod(1)
        if of == "smaller":
            reference = np.minimum(area[best], area[rest])
        else:
            reference = area[best] + area[rest] - intersection
        order = rest[intersection <= max_overlap * reference]
    return np.array(kept, int)


def squares(centre: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return square boxes (F, 4) with given centres (F, 2) and sides (F,)."""
    half = np.asarray(side)[:, None] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def hog_from_box(boxes: np.ndarray, shift: Sequence[float], scale: float) -> np.ndarray:
    """Convert boxes (F, 4) of another face detector to the style of dlib's HOG detector.

    With s the mean of width and height, the centre moves by `shift` (right, down) times s, and
    the side becomes `scale` times s. benchmarks/calibration/face_boxes.py measures both for each
    detector.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    side = (opposite - corner).mean(1)
    return squares((corner + opposite) / 2 + np.multiply(side[:, None], shift), side * scale)


def hog_from_five(points: np.ndarray, down: float, scale: float) -> np.ndarray:
    """Estimate boxes (F, 4) in the style of dlib's HOG detector from five landmarks per face.

    The centre lies at the fraction `down` of the way from the middle of the eyes to the middle of
    the mouth. The side is `scale` times the points' root mean square distance from their mean.
    benchmarks/calibration/face_boxes.py measures both for each detector.

    Args:
        points: (F, 5, 2) eyes, nose, mouth corners.
        down, scale: see above.
    """
    points = np.asarray(points, float).reshape(-1, 5, 2)
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    spread = np.sqrt(points.var(axis=1).sum(1))
    return squares(eyes + down * (mouth - eyes), spread * scale)
