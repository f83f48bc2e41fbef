"""Square crops around a face, by pixel centres."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.detectors.neural import LANDMARK_BOX, SIZE, Placement
from facetrack.errors import FacetrackError
from facetrack.ops.image import by_blocks

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
    part = by_blocks(part, block)
    step = float((end - origin)[0]) / (SIZE - 1) / block
    return part, (origin - first + 0.5) / block - 0.5, step
