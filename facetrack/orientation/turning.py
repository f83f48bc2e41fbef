"""Turn pictures, boxes and points, so that a face that has rolled is upright.

A roll is an angle in radians, clockwise in the displayed picture: a face with a roll of pi / 2 lies
with its forehead to the right. The box of a rolled face is the square that its upright box becomes
when it keeps its centre: sides parallel to the picture's, whatever the roll.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.ops.image import block_mean

QUARTER = math.pi / 2
PATCH_SIDES = 3.0
"""Side of a patch in sides of the box: detectors read pixels around the box, and place it anew."""
MAX_BOX_PX = 512
"""Boxes in a patch are less than twice as wide: of larger faces it has a lower resolution than the
picture. The networks' crops have 256 pixels."""


class Patch(NamedTuple):
    """A square part of a picture in which a face is upright.

    Attributes:
        image: (S, S, 3) uint8, black outside the picture.
        box: (4,) the face's box in the patch, x0 y0 x1 y1 pixels (pixel centres).
        matrix: (2, 2) and
        shift: (2,) pixel p of the patch lies at matrix p + shift in the picture.
    """

    image: np.ndarray
    box: np.ndarray
    matrix: np.ndarray
    shift: np.ndarray

    @staticmethod
    def whole(image: np.ndarray, box: np.ndarray) -> Patch:
        """Return a picture as it is, with a face's box (4,)."""
        return Patch(image, box, np.eye(2), np.zeros(2))

    def to_picture(self, xy: np.ndarray) -> np.ndarray:
        """Convert points (..., 2) of the patch to points of the picture."""
        return np.asarray(xy @ self.matrix.T + self.shift)


def rotation(roll: float) -> np.ndarray:
    """Return the (2, 2) matrix that turns column vectors by `roll`. Quarter turns are exact."""
    cos, sin = math.cos(roll), math.sin(roll)
    if abs(sin * cos) < 1e-9:
        cos, sin = float(round(cos)), float(round(sin))
    return np.array([[cos, -sin], [sin, cos]])


def wrapped(angle: float) -> float:
    """Wrap an angle to -pi to pi."""
    return math.remainder(angle, 2 * math.pi)


def nearest_quarter(roll: float) -> int:
    """Return the number of quarter turns, 0 to 3, that is nearest to a roll."""
    return round(roll / QUARTER) % 4


def cut_patch(image: np.ndarray, box: np.ndarray, roll: float) -> Patch:
    """Cut out the surroundings of a face so that a face with a roll is upright.

    Quarter turns move pixels and change none of them, if the box is at most MAX_BOX_PX wide.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x0 y0 x1 y1 in pixels (pixel centres).
        roll: of the face.
    """
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).mean())
    # OpenCV turns pictures of at most 32767 pixels a side, so the part that shows is cut out first.
    reach = PATCH_SIDES * side
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, size).astype(int)
    image, centre = image[low[1] : high[1], low[0] : high[0]], centre - low
    step = int(max(1, side // MAX_BOX_PX))
    if step > 1:
        image = block_mean(image, step)
        centre, side = (centre + 0.5) / step - 0.5, side / step
    half = math.ceil(PATCH_SIDES * side / 2)
    # The middle pixel of the patch is a pixel of the picture.
    origin = np.rint(centre)
    matrix, middle = rotation(roll), np.full(2, float(half))
    shift = origin - matrix @ middle
    transform = np.concatenate([matrix, shift[:, None]], axis=1)
    patch = cv2.warpAffine(
        np.ascontiguousarray(image),
        transform,
        (2 * half + 1, 2 * half + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    inside = middle + matrix.T @ (centre - origin)
    upright = np.concatenate([inside - side / 2, inside + side / 2])
    return Patch(patch, upright, matrix * step, (shift + 0.5) * step - 0.5 + low)


def turn_picture(image: np.ndarray, quarters: int) -> np.ndarray:
    """Turn a picture so that faces with a roll of `quarters` quarter turns are upright."""
    return np.ascontiguousarray(np.rot90(image, quarters))


def boxes_back(boxes: np.ndarray, quarters: int, size: tuple[int, int]) -> np.ndarray:
    """Convert boxes found in a turned picture to boxes of the picture.

    Args:
        boxes: (F, 4) x0 y0 x1 y1 in pixels of the turned picture (pixel centres).
        quarters: as for `turn_picture`.
        size: (width, height) of the picture.

    Returns:
        (F, 4) float32.
    """
    width, height = size
    turned = (width, height) if quarters % 2 == 0 else (height, width)
    matrix = rotation(quarters * QUARTER)
    corners = np.asarray(boxes, float).reshape(-1, 2, 2)
    corners = (corners - (np.array(turned) - 1) / 2) @ matrix.T + (np.array(size) - 1) / 2
    return np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)
