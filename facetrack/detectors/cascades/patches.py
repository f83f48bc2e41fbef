"""Pictures around points, and pictures warped by similarity transforms.

Places are in units of half the picture: (-1, -1) is its top left corner, (1, 1) its bottom right
one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.cascades.shapes import Similarity


def grid(side: int, device: torch.device) -> Tensor:
    """Return the places of a picture's pixel centres, (side, side, 2) x and y."""
    axis = (torch.arange(side, device=device) + 0.5) * 2 / side - 1
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)


def around(pictures: Tensor, points: Tensor, side: int, width: float) -> Tensor:
    """Cut square patches around points, black outside the picture.

    Args:
        pictures: (B, C, H, W).
        points: (B, N, 2) places.
        side: of a patch in pixels.
        width: of a patch, in widths of the picture.

    Returns:
        (B, N, C, side, side).
    """
    batch, count = points.shape[:2]
    where = points[:, :, None, None] + grid(side, points.device) * width
    cut = _sample(pictures, where.view(batch, count * side, side, 2))
    return cut.view(batch, -1, count, side, side).transpose(1, 2)


def warp(pictures: Tensor, back: Similarity, side: int) -> Tensor:
    """Warp pictures (B, C, H, W) to (B, C, side, side), black outside them.

    Args:
        back: leads from places in the warped picture to places in the given one.
    """
    places = grid(side, pictures.device).view(1, -1, 2).expand(len(pictures), -1, -1)
    return _sample(pictures, back.apply(places).view(-1, side, side, 2))


def _sample(pictures: Tensor, where: Tensor) -> Tensor:
    """Read pictures at places (B, h, w, 2), between pixels linearly, in float32."""
    with torch.autocast(pictures.device.type, enabled=False):
        return F.grid_sample(
            pictures.float(), where.float(), padding_mode="zeros", align_corners=False
        )
