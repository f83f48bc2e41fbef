"""Pictures made small by the mean over areas, at the speed that OpenCV has for whole blocks."""

from __future__ import annotations

import cv2
import numpy as np


def by_blocks(image: np.ndarray, block: int) -> np.ndarray:
    """An image (H, W) or (H, W, 3) uint8 of which every `block` x `block` pixels have become one,
    their mean; less than one block is left out at the right and at the bottom."""
    height, width = image.shape[:2]
    across, down = max(1, width // block), max(1, height // block)
    whole = image[: down * block, : across * block]
    return cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA)


def shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H, W) or (H, W, 3) uint8 as `size` = (width, height) pixels, each the mean of what
    it covers.

    Whole blocks of pixels come first (`by_blocks`): the mean over fractions of pixels takes many
    times as long.
    """
    height, width = image.shape[:2]
    block = min(width // size[0], height // size[1])
    if block > 1:
        image = by_blocks(image, block)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) contiguous uint8 of a (H, W, 3) or (H, W) uint8 image.

    Raises:
        ValueError: another shape or type, or no pixels.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return np.ascontiguousarray(image)
