"""Square crops around a face, by pixel centres."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.ops.image import block_mean

KEY = "crop"
"""Where the metadata of our own weights say which square they learned on."""


class CropRule(NamedTuple):
    """The square that a network looks at, in sides of dlib's HOG box from its top-left corner.

    Published weights keep their authors' crops, with their roundings. Those trained here say the
    rule in their metadata and are cut out exactly, by `cut`.

    Attributes:
        x, y: the square's centre.
        side: its side.
    """

    x: float
    y: float
    side: float

    @staticmethod
    def around_landmarks(side: float) -> CropRule:
        """The square around the middle of where the landmarks are on average."""
        x, y = (LANDMARK_BOX[:2] + LANDMARK_BOX[2:]) / 2
        return CropRule(round(float(x), 6), round(float(y), 6), side)

    @staticmethod
    def read(metadata: Mapping[str, str], path: Path) -> CropRule | None:
        """The rule in the metadata of a weights file, None where they have none.

        Raises:
            FacetrackError: they have one that is no rule.
        """
        if KEY not in metadata:
            return None
        try:
            rule = CropRule(*(float(v) for v in json.loads(metadata[KEY])))
        except (TypeError, ValueError) as error:
            raise FacetrackError(f"The crop rule inside {path} is damaged.") from error
        if not (np.isfinite(rule).all() and 0.1 <= rule.side <= 10):
            raise FacetrackError(f"The crop rule inside {path} is damaged.")
        return rule

    def write(self) -> str:
        """As text for the metadata."""
        return json.dumps(list(self))

    def square(self, box: np.ndarray) -> np.ndarray:
        """(4,) x0 y0 x1 y1 of the square for a face in `box` (4,)."""
        sides = box[2:] - box[:2]
        centre = box[:2] + sides * (self.x, self.y)
        half = self.side * sides.max() / 2
        return np.concatenate([centre - half, centre + half])

    def cut(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """The crop of a `square` (4,), and where it lies, in crop pixels by their centres."""
        return cut(image, (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()), average=True)


def cut(
    image: np.ndarray, centre: np.ndarray, side: float, average: bool
) -> tuple[np.ndarray, Placement] | None:
    """The square of `side` pixels around `centre` as SIZE x SIZE pixels, black outside the image.

    Args:
        image: (H, W, 3) uint8.
        centre: (2,) x and y in image pixels (pixel centres); it comes to the middle of the crop.
        side: in image pixels, > 0.
        average: take the mean of whole pixels where the crop is at most half as fine as the image;
            otherwise single pixels are read, which makes large faces grainy.

    Returns:
        The crop, (SIZE, SIZE, 3) uint8, and where it lies, in crop pixels by their centres; None
        where nothing of the image is in it.
    """
    step = side / SIZE
    origin = centre - (SIZE - 1) / 2 * step
    placement = Placement(np.full(2, step), origin)
    end = origin + (SIZE - 1) * step
    if (end < 0).any() or (origin > np.array(image.shape[1::-1]) - 1).any():
        return None
    if average and step >= 2:
        image, origin, step = _averaged(image, origin, end, int(step))
    scale = 1 / step
    matrix = np.array(
        [[scale, 0, -scale * origin[0]], [0, scale, -scale * origin[1]], [0, 0, 1]], np.float32
    )
    return cv2.warpPerspective(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR), placement


def _averaged(
    image: np.ndarray, origin: np.ndarray, end: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """The part of `image` from `origin` to `end` (2,), `block` x `block` pixels made one; the
    crop's origin in it, and the step from one pixel of the crop to the next."""
    size = np.array(image.shape[1::-1])
    first = np.clip(np.floor(origin) - block, 0, size - 1).astype(int)
    last = np.clip(np.ceil(end) + 2 * block, first + 1, size).astype(int)
    # Whole blocks only: at the image's far edges up to block - 1 pixels are left out.
    width, height = np.maximum((last - first) // block, 1)
    part = image[first[1] : first[1] + height * block, first[0] : first[0] + width * block]
    part = block_mean(part, block)
    step = float((end - origin)[0]) / (SIZE - 1) / block
    return part, (origin - first + 0.5) / block - 0.5, step


SIZE = 256
"""Side of a crop in pixels."""


SAME = 0.4
"""Overlap (intersection over union) from which the box that landmarks imply is of the face in the
box that they were placed from. Landmarks on what is no face spread anywhere."""


LANDMARK_BOX = np.array([0.034, 0.116, 0.995, 1.053])
"""The tight box x0 y0 x1 y1 around the 68 landmarks of a face, in sides of dlib's HOG box from its
top-left corner: medians over 146 annotated faces of the 300-W training sets, by
benchmarks/calibration/box_rules.py."""


def relative_box(box: np.ndarray, rule: np.ndarray) -> np.ndarray:
    """(4,) x0 y0 x1 y1 in image pixels of what `rule` (4,) says in sides of `box` (4,)."""
    return np.asarray(np.tile(box[:2], 2) + rule * np.tile(box[2:] - box[:2], 2))


def hog_box(points: np.ndarray) -> np.ndarray:
    """(..., 4) x0 y0 x1 y1 of the box that dlib's HOG detector gives on average for a face.

    The inverse of `LANDMARK_BOX`; the box is square, its side the mean
    of what width and height of the landmarks say.

    Args:
        points: (..., N, 2) the 68 landmarks of 300-W, or the 98 of WFLW.
    """
    if points.shape[-2] == 98:
        points = schemes.map_98_to_68(points)
    low, high = points.min(-2), points.max(-2)
    side = ((high - low) / (LANDMARK_BOX[2:] - LANDMARK_BOX[:2])).mean(-1, keepdims=True)
    middle = (LANDMARK_BOX[:2] + LANDMARK_BOX[2:]) / 2
    origin = (low + high) / 2 - middle * side
    return np.concatenate([origin, origin + side], -1)


def second_boxes(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(F, 4) the boxes that landmarks (F, N, 2) imply, as `hog_box` has it; NaN where they are not
    of the face that is in `boxes` (F, 4)."""
    made = hog_box(points.astype(float))
    shared = np.minimum(made[:, 2:], boxes[:, 2:]) - np.maximum(made[:, :2], boxes[:, :2])
    shared_area = shared.clip(min=0).prod(-1)
    area = sum((b[:, 2:] - b[:, :2]).clip(min=0).prod(-1) for b in (made, boxes))
    with np.errstate(invalid="ignore", divide="ignore"):
        same = shared_area >= SAME * (area - shared_area)
    return np.where(same[:, None], made, np.nan)


class Placement(NamedTuple):
    """Where a crop lies in its image: image xy = crop xy * scale + origin.

    Attributes:
        scale: (2,) float64, image pixels per crop unit, right and down; the first is negative for a
            mirrored crop. The crop unit is what `NeuralDetector.decode` answers in.
        origin: (2,) float64 image pixels (pixel centres), the place of crop xy (0, 0).
    """

    scale: np.ndarray
    origin: np.ndarray
