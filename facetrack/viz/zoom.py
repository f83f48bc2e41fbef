"""Let the overlay video follow the faces, enlarged."""

from __future__ import annotations

import math

import cv2
import numpy as np

MARGIN = 2.0
"""Size of the part that is shown, in multiples of the box around the faces' points."""
MAX_FACTOR = 12.0
"""Largest enlargement."""
TIME_CONSTANT = 0.35
"""Seconds in which the shown part follows two thirds of a motion, so that it does not shake."""
PATIENCE = 1.0
"""Seconds without a face after which the whole frame is shown again."""


class FaceZoom:
    """Choose the part of each frame to show: a window around all faces that are in sight.

    Args:
        size: (width, height) of the frames, and of the pictures that are shown.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = np.array(size, float)
        self._whole = np.array([*(self._size / 2 - 0.5), 0.0])  # centre x and y, log of the factor
        self._shown: np.ndarray | None = None
        self._target = self._whole
        self._time = self._seen = -math.inf

    def follow(self, xy: np.ndarray, time: float) -> np.ndarray:
        """Move the window to the next frame.

        Args:
            xy: (F, N, 2) pixels of the faces in sight; NaN where unknown.
            time: of the frame in seconds; later than that of the frame before.

        Returns:
            (2, 3) affine matrix from pixels of the frame to those of the picture, both from the
            centre of the top-left pixel.
        """
        known = xy[np.isfinite(xy).all(-1)]
        if len(known):
            self._seen = time
            self._target = self._around(known)
        elif time - self._seen > PATIENCE:
            self._target = self._whole
        step = max(time - self._time, 0.0)
        if self._shown is None or self._has_jumped():
            self._shown = self._target
        else:
            share = 1 - math.exp(-step / TIME_CONSTANT)
            self._shown = self._shown + share * (self._target - self._shown)
        self._time = time
        return self._matrix()

    def _around(self, known: np.ndarray) -> np.ndarray:
        low, high = np.asarray(known.min(0), float), np.asarray(known.max(0), float)
        needed = (MARGIN * np.maximum(high - low, 1.0) / self._size).max()
        factor = min(max(1 / needed, 1.0), MAX_FACTOR)
        return np.array([*((low + high) / 2), math.log(factor)])

    def _has_jumped(self) -> bool:
        """Return True if the target lies outside the shown part, as after a cut."""
        assert self._shown is not None
        half = self._size / np.exp(self._shown[2]) / 2
        return bool((np.abs(self._target[:2] - self._shown[:2]) > half).any())

    def _matrix(self) -> np.ndarray:
        assert self._shown is not None
        factor = float(np.exp(self._shown[2]))
        half = self._size / factor / 2
        # Nothing beside the frame is shown. The left edge of the frame is at -0.5.
        centre = np.clip(self._shown[:2], half - 0.5, self._size - 0.5 - half)
        offset = self._size / 2 - 0.5 - factor * centre
        return np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])


def enlarge(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the part of an image (H, W, 3) that a matrix shows, at the image's size."""
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    )


def transform(xy: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return points (..., 2) of the frame as points of the picture."""
    return np.asarray(xy * matrix[0, 0] + matrix[:, 2])
