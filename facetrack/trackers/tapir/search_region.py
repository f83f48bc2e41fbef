"""Compute feature maps only where the points may be.

The window that follows a face leaves a border for motion that a calm face never reaches. The
backbone's work goes with the area, so it is spent on the part that the points can reach.

Positions are (x, y) in pixels of the 256 x 256 picture, origin at the CORNER of its top-left pixel.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import MAX_DRIFT
from facetrack.trackers.tapir.network import TapirNetwork

Region = tuple[int, int, int]
"""Left, top and side of a square in pixels, multiples of CELL."""
CELL = 8
"""Pixels of a cell of the coarsest feature map."""
REGION_SIDES = (192, 208, 224)
"""Pixels of the crop: sides of the square in which points are sought. Few sizes, because oneDNN
compiles its kernels for each."""
REGION_MARGIN = 12.0
"""Pixels of the crop beyond the points: what a cell of the feature maps sees around itself."""


def choose_region(before: np.ndarray, now: np.ndarray, frames: int) -> Region | None:
    """Choose the square of a crop of RESOLUTION pixels that holds the points of the next frames.

    Each point may go on by its last motion, in its direction or back, as far as the face may move
    before its window follows.

    Args:
        before, now: (N, 2) points of the last two frames, raster coordinates of the crop.
        frames: number of the next frames, in which the window stays.

    Returns:
        Left, top and side in whole pixels; None if none of REGION_SIDES suffices.
    """
    reach = np.minimum(np.abs(now - before) * frames, MAX_DRIFT * RESOLUTION) + REGION_MARGIN
    low, high = (now - reach).min(0), (now + reach).max(0)
    for side in REGION_SIDES:
        corner = np.round(((low + high) / 2 - side / 2) / CELL) * CELL
        corner = np.clip(corner, 0, RESOLUTION - side)
        # Points and their reach beyond the window itself are lost either way.
        needed_low, needed_high = np.clip(low, 0, None), np.clip(high, None, RESOLUTION)
        if (corner <= needed_low).all() and (corner + side >= needed_high).all():
            return int(corner[0]), int(corner[1]), side
    return None


def extract_within(network: TapirNetwork, pictures: Tensor, region: Region | None) -> FeatureMaps:
    """Return the feature maps of pictures (T, 3, H, W), computed within a region only.

    Outside of it they are 0, and so is every correlation with them. None stands for everywhere.
    """
    if region is None:
        return network.extract_features(pictures)
    left, top, side = region
    part = pictures[:, :, top : top + side, left : left + side]
    maps = network.extract_features(part.contiguous(memory_format=torch.channels_last))
    right, bottom = pictures.shape[3] - left - side, pictures.shape[2] - top - side
    padded = []
    for cells in maps:
        stride = side // cells.shape[1]
        borders = (left, right, top, bottom)
        # F.pad begins with the last axis, the channels.
        padded.append(F.pad(cells, (0, 0, *(border // stride for border in borders))))
    return FeatureMaps(*padded)
