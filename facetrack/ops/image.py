"""Convert images and reduce them by averaging over areas."""

from __future__ import annotations

import cv2
import numpy as np


def block_mean(image: np.ndarray, block: int) -> np.ndarray:
    """Reduce an image (H, W) or (H, W, 3) uint8 to the mean of each `block` x `block` pixels.

    An incomplete block at the right or the bottom edge is dropped.
    """
    height, width = image.shape[:2]
    columns, rows = max(1, width // block), max(1, height // block)
    whole_blocks = image[: rows * block, : columns * block]
    return cv2.resize(whole_blocks, (columns, rows), interpolation=cv2.INTER_AREA)


def downscale(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image (H, W) or (H, W, 3) uint8 to `size` = (width, height) by area averaging.

    Whole blocks of pixels are averaged first (`block_mean`), because averaging over fractions of
    pixels takes many times as long.
    """
    height, width = image.shape[:2]
    block = min(width // size[0], height // size[1])
    if block > 1:
        image = block_mean(image, block)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def shrink_region(
    image: np.ndarray, low: np.ndarray, high: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a region of an image, shrunk by area averaging where `scale` is below 1.

    Sampling bilinearly at less than the image's resolution would alias; the result may be sampled.

    Args:
        image: (H, W, 3) uint8.
        low, high: x and y (2,) of the first pixel and of the pixel after the last.
        scale: wanted size relative to the region's.

    Returns:
        The picture, and its pixels per pixel of the image along x and y (2,).
    """
    region = image[low[1] : high[1], low[0] : high[0]]
    size = high - low
    small = np.maximum(1, np.round(size * scale)).astype(int)
    if (small < size).any():
        region = cv2.resize(region, small.tolist(), interpolation=cv2.INTER_AREA)
    return region, small / size


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return a (H, W, 3) or (H, W) uint8 image as contiguous (H, W, 3) uint8.

    Raises:
        ValueError: the image has another shape or type, or no pixels.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)
