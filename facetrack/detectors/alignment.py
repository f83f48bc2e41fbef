"""Align faces before their landmarks are refined: upright, centred, and of one size in the crop.

A tiny network places rough landmarks in the given box. The crop for the network proper follows from
them, so that network never has to know faces that are rolled, off the centre or of another size.
Cascaded detectors have done so since Kowalski, Naruniec and Trzcinski, "Deep Alignment Network: A
Convolutional Neural Network for Robust Face Alignment", CVPRW 2017.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.detectors import pipnet_meanface
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, relative_box
from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.landmarks import schemes
from facetrack.ops.image import block_mean
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

KEY = "aligned"
"""Metadata key of the side of aligned crops in weights trained here."""
SIDE = 1.25
"""Side of an aligned crop in longer sides of the upright box around the landmarks."""


class FaceFrame(NamedTuple):
    """A square that contains a face upright.

    Attributes:
        centre: (2,) x and y in image pixels (pixel centres).
        side: in image pixels.
        roll: radians, clockwise in the displayed image.
    """

    centre: np.ndarray
    side: float
    roll: float

    @staticmethod
    def of_square(square: np.ndarray) -> FaceFrame:
        """Return an upright square (4,) x0 y0 x1 y1."""
        return FaceFrame((square[:2] + square[2:]) / 2, float(square[2] - square[0]), 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """The (2, 2) matrix from crop pixels, relative to the crop's middle, to image pixels."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cos, -sin], [sin, cos]]) * (self.side / SIZE)

    def to_image(self, xy: np.ndarray, size: int = SIZE) -> np.ndarray:
        """Convert points (..., 2) from pixels of a crop of `size` (pixel centres) to the image."""
        centred = (xy - (size - 1) / 2) * (SIZE / size)
        return np.asarray(centred @ self.matrix.T + self.centre)

    def to_crop(self, xy: np.ndarray, size: int = SIZE) -> np.ndarray:
        """Convert points (..., 2) from image pixels to pixels of a crop of `size`."""
        centred = (xy - self.centre) @ np.linalg.inv(self.matrix).T
        return np.asarray(centred * (size / SIZE) + (size - 1) / 2)

    def cut(self, image: np.ndarray, size: int = SIZE) -> np.ndarray | None:
        """Cut the square out of an image, black outside the image.

        Args:
            image: (H, W, 3) uint8.
            size: side of the crop in pixels.

        Returns:
            (size, size, 3) uint8; None if the square does not overlap the image.
        """
        ends = np.array([0, size - 1])
        corners = self.to_image(np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2), size)
        limit = np.array(image.shape[1::-1])
        if (corners.max(0) < 0).any() or (corners.min(0) > limit - 1).any():
            return None
        # OpenCV reads images of at most 32767 pixels a side, and averages none when it shrinks one.
        block = max(1, int(self.side / size))
        first = np.clip(np.floor(corners.min(0)) - block, 0, limit - 1).astype(int)
        last = np.clip(np.ceil(corners.max(0)) + 2 * block, first + 1, limit).astype(int)
        width, height = np.maximum((last - first) // block, 1)
        part = image[first[1] : first[1] + height * block, first[0] : first[0] + width * block]
        part = block_mean(part, block) if block > 1 else part
        matrix = self.matrix * (SIZE / size) / block
        centre = (self.centre - first + 0.5) / block - 0.5
        shift = centre - matrix @ np.full(2, (size - 1) / 2)
        return cv2.warpAffine(
            np.ascontiguousarray(part),
            np.concatenate([matrix, shift[:, None]], axis=1),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )


@cache
def upright_face() -> np.ndarray:
    """Return the landmarks (68, 2) of an upright face, in shares of its crop's side."""
    return np.asarray(pipnet_meanface.read(pipnet_meanface.BY_COUNT[68]), float)


def align(points: np.ndarray, side: float = SIDE) -> FaceFrame:
    """Find the upright square around a face.

    The roll is that of the similarity that best maps an upright face to the points. Centre and side
    are those of the box around the points once they are upright.

    Args:
        points: (N, 2) the 68 landmarks of 300-W, or the 98 of WFLW, in image pixels; finite.
        side: of the square, in longer sides of that box.
    """
    if points.shape[-2] == 98:
        points = schemes.map_98_to_68(points)
    places = as_complex(points)
    roll = float(np.angle(fit_rotation_scale(as_complex(upright_face()), places)))
    turned = as_xy(places * np.exp(-1j * roll))
    low, high = turned.min(0), turned.max(0)
    centre = as_xy(as_complex((low + high) / 2) * np.exp(1j * roll))
    return FaceFrame(centre, side * float((high - low).max()), roll)


def read_side(metadata: Mapping[str, str], path: Path) -> float | None:
    """Read the side of aligned crops from the metadata of a weights file; None if there is none.

    Raises:
        FacetrackError: the metadata contain an invalid side.
    """
    if KEY not in metadata:
        return None
    try:
        side = float(parse_json(metadata[KEY]))
    except (TypeError, ValueError, OverflowError) as error:
        raise FacetrackError(f"The crop rule inside {path} is damaged.") from error
    if not 0.1 <= side <= 10:
        raise FacetrackError(f"The crop rule inside {path} is damaged.")
    return side


def write_side(side: float) -> str:
    """Return a side as text for the metadata."""
    return json.dumps(side)


WHOLE = np.array([-0.5, -0.5, SIZE - 0.5, SIZE - 0.5])
"""The box of an aligned crop in its own pixels, from edge to edge."""


def frame_of_box(box: np.ndarray, side: float) -> FaceFrame:
    """Return the square for a face of which only the box (4,) is known."""
    low, high = relative_box(box, LANDMARK_BOX).reshape(2, 2)
    return FaceFrame((low + high) / 2, side * float((high - low).max()), 0.0)
