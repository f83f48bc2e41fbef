"""Square crops around a face, by pixel centres."""

from __future__ import annotations

import cv2
import numpy as np

from facetrack.detectors.neural import SIZE, Placement


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
    part = cv2.resize(part, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    step = float((end - origin)[0]) / (SIZE - 1) / block
    return part, (origin - first + 0.5) / block - 0.5, step
