"""What every face detector offers, and the geometry they share."""

from __future__ import annotations

from collections.abc import Sequence
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


class FivePointFaces(NamedTuple):
    """What a detector with landmarks says of F faces, in its own style.

    Attributes:
        boxes: (F, 4) x0 y0 x1 y1, pixels by pixel centres, as are the points.
        points: (F, 5, 2) eyes, nose, mouth corners; of eyes and corners the one on the picture's
            left comes first.
        score: (F,) the detector's own confidence.
    """

    boxes: np.ndarray
    points: np.ndarray
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
    return points_back(np.asarray(boxes).reshape(-1, 2, 2), resized, image).reshape(-1, 4)


def points_back(points: np.ndarray, resized: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(..., 2) points of `resized` as points of `image`; both by pixel centres."""
    ratio = np.array(image.shape[1::-1], float) / np.array(resized.shape[1::-1], float)
    return (np.asarray(points, float) + 0.5) * ratio - 0.5


def largest_first(boxes: np.ndarray, score: np.ndarray) -> FaceBoxes:
    """The boxes (F, 4) and scores (F,) ordered by area, as float32."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    score = np.asarray(score, np.float32).reshape(-1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-area, kind="stable")
    return FaceBoxes(boxes[order], score[order])


def keep_best(boxes: np.ndarray, score: np.ndarray, most: float, of: str = "union") -> np.ndarray:
    """Greedy non-maximum suppression: (K,) indices into `boxes` (F, 4), surest first.

    A box is dropped when a surer one that is kept overlaps it by more than `most`, as a part of
    the union of both or, with `of` = "smaller", of the smaller one.
    """
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    area = (opposite - corner).prod(1)
    order, kept = np.argsort(-score, kind="stable"), []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        inside = np.minimum(opposite[first], opposite[rest]) - np.maximum(
            corner[first], corner[rest]
        )
        common = inside.clip(0).prod(1)
        if of == "smaller":
            whole = np.minimum(area[first], area[rest])
        else:
            whole = area[first] + area[rest] - common
        order = rest[common <= most * whole]
    return np.array(kept, int)


def squares(centre: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Boxes (F, 4) from their centres (F, 2) and sides (F,)."""
    half = np.asarray(side)[:, None] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def hog_from_box(boxes: np.ndarray, shift: Sequence[float], scale: float) -> np.ndarray:
    """dlib's HOG boxes of the faces that another detector drew `boxes` (F, 4) around.

    With s the mean of width and height, the centre moves by `shift` (right, down) times s, and
    the side becomes `scale` times s. benchmarks/calibration/face_boxes.py measures both for each detector.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    side = (opposite - corner).mean(1)
    return squares((corner + opposite) / 2 + np.multiply(side[:, None], shift), side * scale)


def hog_from_five(points: np.ndarray, down: float, scale: float) -> np.ndarray:
    """dlib's HOG boxes of faces with five landmarks, (F, 5, 2): eyes, nose, mouth corners.

    The centre is the middle of the eyes moved by `down` of the way to the middle of the mouth;
    the side is `scale` times the points' root mean square distance from their mean.
    benchmarks/calibration/face_boxes.py measures both for each detector.
    """
    points = np.asarray(points, float).reshape(-1, 5, 2)
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    spread = np.sqrt(points.var(axis=1).sum(1))
    return squares(eyes + down * (mouth - eyes), spread * scale)
