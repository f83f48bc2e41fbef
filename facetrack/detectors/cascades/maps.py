"""Heat maps of landmarks, and the places that they mean.

Places are in units of half the picture: (-1, -1) is its top left corner, (1, 1) its bottom right
one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facetrack.detectors.cascades.patches import grid


def cells(places: Tensor, side: int) -> Tensor:
    """Return places in cells of maps of `side` cells, from the centre of the first cell."""
    return (places + 1) * (side / 2) - 0.5


def mean_places(maps: Tensor, sharpness: Tensor) -> Tensor:
    """Return the mean places (B, N, 2) of maps, whose cells are weighted by a softmax.

    Args:
        maps: (B, N, side, side) float32.
        sharpness: logarithm of the factor on the maps, a scalar.
    """
    share = (maps * sharpness.float().exp()).flatten(2).softmax(2)
    where = grid(maps.shape[-1], maps.device).view(-1, 2)
    # Sums of products, which no autocast lowers in precision.
    x, y = ((share * where[:, axis]).sum(2) for axis in (0, 1))
    return torch.stack([x, y], -1)


def rare(sigma: float, side: int) -> float:
    """Return the log odds of a cell on a landmark: what a map says before it has learned.

    Args:
        sigma: standard deviation in cells of the Gaussians that are learned.
        side: of the maps in cells.
    """
    return math.log(2 * math.pi * sigma**2 / side**2)
