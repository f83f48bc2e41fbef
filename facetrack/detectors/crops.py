"""Square crops around faces, and the face boxes they derive from (coordinates: pixel centres)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.landmarks import schemes
from facetrack.ops.image import block_mean

KEY = "crop"
"""Metadata key of the crop rule in weights trained here."""


class CropRule(NamedTuple):
    """The square crop of a network, relative to dlib's HOG box.

    The unit is the box's side and the origin its top-left corner. Weights trained here store the
    rule in their metadata, and `cut` cuts the crop exactly. Published weights use their authors'
    crops instead, including their rounding.

    Attributes:
        x, y: the square's centre.
        side: the square's side.
    """

    x: float
    y: float
    side: float

    @staticmethod
    def around_landmarks(side: float) -> CropRule:
        """Return a rule for a square of `side`, centred on the mean landmark box."""
        x, y = (LANDMARK_BOX[:2] + LANDMARK_BOX[2:]) / 2
        return CropRule(round(float(x), 6), round(float(y), 6), side)

    @staticmethod
    def read(metadata: Mapping[str, str], path: Path) -> CropRule | None:
        """Read the rule from the metadata of a weights file; None if there is none.

        Raises:
            FacetrackError: the metadata contain an invalid rule.
        """
        if KEY not in metadata:
            return None
        try:
            rule = CropRule(*(float(v) for v in parse_json(metadata[KEY])))
        except (TypeError, ValueError, OverflowError) as error:
            raise FacetrackError(f"The crop rule inside {path} is damaged.") from error
        if not (np.isfinite(rule).all() and 0.1 <= rule.side <= 10):
            raise FacetrackError(f"The crop rule inside {path} is damaged.")
        return rule

    def write(self) -> str:
        """Return the rule as text for the metadata."""
        return json.dumps(list(self))

    def square(self, box: np.ndarray) -> np.ndarray:
        """Return the square (4,) x0 y0 x1 y1 for a face in `box` (4,)."""
        sides = box[2:] - box[:2]
        centre = box[:2] + sides * (self.x, self.y)
        half = self.side * sides.max() / 2
        return np.concatenate([centre - half, centre + half])

    def cut(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut the crop of a `square` (4,) out of an image.

        Returns:
            The crop and its placement in crop pixels (pixel centres); see `cut_square`.
        """
        return cut_square(
            image, (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()), average=True
        )


def cut_square(
    image: np.ndarray, centre: np.ndarray, side: float, average: bool
) -> tuple[np.ndarray, Placement] | None:
    """Cut a square out of an image and resize it to SIZE x SIZE pixels, black outside the image.

    Args:
        image: (H, W, 3) uint8.
        centre: (2,) x and y of the square's centre in image pixels (pixel centres).
        side: of the square in image pixels, > 0.
        average: average blocks of image pixels if the crop downsamples by at least 2. Otherwise
            single pixels are sampled, which makes large faces grainy.

    Returns:
        The crop, (SIZE, SIZE, 3) uint8, and its placement in crop pixels (pixel centres); None if
        the square does not overlap the image.
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
    """Downsample the part of an image that a crop covers.

    Args:
        image: (H, W, 3).
        origin, end: (2,) centres of the crop's first and last pixel, in image pixels.
        block: side of the blocks of pixels that are averaged.

    Returns:
        The downsampled part, the crop's origin in it (2,), and the step between crop pixels in it.
    """
    size = np.array(image.shape[1::-1])
    first = np.clip(np.floor(origin) - block, 0, size - 1).astype(int)
    last = np.clip(np.ceil(end) + 2 * block, first + 1, size).astype(int)
    # Whole blocks only: up to block - 1 pixels at the right and bottom edges are left out.
    width, height = np.maximum((last - first) // block, 1)
    part = image[first[1] : first[1] + height * block, first[0] : first[0] + width * block]
    part = block_mean(part, block)
    step = float((end - origin)[0]) / (SIZE - 1) / block
    return part, (origin - first + 0.5) / block - 0.5, step


SIZE = 256
"""Side of a crop in pixels."""


MIN_BOX_IOU = 0.4
"""Minimum overlap (intersection over union) of the given box with the box that its landmarks imply.
Landmarks detected where there is no face may spread anywhere."""


LANDMARK_BOX = np.array([0.034, 0.116, 0.995, 1.053])
"""The tight box x0 y0 x1 y1 around the 68 landmarks of a face, relative to dlib's HOG box (unit:
its side, origin: its top-left corner). Medians over 146 annotated faces of the 300-W training sets,
measured by benchmarks/calibration/box_rules.py."""


def relative_box(box: np.ndarray, rule: np.ndarray) -> np.ndarray:
    """Convert a box given relative to another box into image pixels.

    Args:
        box: (4,) x0 y0 x1 y1 in image pixels.
        rule: (4,) x0 y0 x1 y1 relative to `box` (unit: its sides, origin: its top-left corner).

    Returns:
        (4,) x0 y0 x1 y1 in image pixels.
    """
    return np.asarray(np.tile(box[:2], 2) + rule * np.tile(box[2:] - box[:2], 2))


def hog_box(points: np.ndarray) -> np.ndarray:
    """Return the box that dlib's HOG detector gives on average for a face with these landmarks.

    This inverts `LANDMARK_BOX`. The box is square; its side is the mean of the sides implied by the
    landmarks' width and height.

    Args:
        points: (..., N, 2) the 68 landmarks of 300-W, or the 98 of WFLW.

    Returns:
        (..., 4) x0 y0 x1 y1 in the unit of the points.
    """
    if points.shape[-2] == 98:
        points = schemes.map_98_to_68(points)
    low, high = points.min(-2), points.max(-2)
    side = ((high - low) / (LANDMARK_BOX[2:] - LANDMARK_BOX[:2])).mean(-1, keepdims=True)
    middle = (LANDMARK_BOX[:2] + LANDMARK_BOX[2:]) / 2
    origin = (low + high) / 2 - middle * side
    return np.concatenate([origin, origin + side], -1)


def second_boxes(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the boxes (F, 4) that landmarks imply, as in `hog_box`.

    Args:
        points: (F, N, 2) landmarks detected in `boxes`.
        boxes: (F, 4) x0 y0 x1 y1.

    Returns:
        (F, 4) x0 y0 x1 y1; NaN if the implied box overlaps the given box too little to belong to
        the same face.
    """
    implied = hog_box(points.astype(float))
    overlap = np.minimum(implied[:, 2:], boxes[:, 2:]) - np.maximum(implied[:, :2], boxes[:, :2])
    intersection = overlap.clip(min=0).prod(-1)
    total_area = sum((b[:, 2:] - b[:, :2]).clip(min=0).prod(-1) for b in (implied, boxes))
    with np.errstate(invalid="ignore", divide="ignore"):
        is_same_face = intersection >= MIN_BOX_IOU * (total_area - intersection)
    return np.where(is_same_face[:, None], implied, np.nan)


class Placement(NamedTuple):
    """The map from a crop to its image: image xy = crop xy * scale + origin.

    Attributes:
        scale: (2,) float64, image pixels per crop unit along x and y; the first is negative for a
            mirrored crop. The crop unit is the unit of the points that `NeuralDetector.decode`
            returns.
        origin: (2,) float64, crop xy (0, 0) in image pixels (pixel centres).
    """

    scale: np.ndarray
    origin: np.ndarray
