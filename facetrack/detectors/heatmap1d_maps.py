"""One-dimensional heat maps: draw them for known landmarks, and read landmarks from them.

An image of SIZE pixels is divided into L cells along each axis. The centre of cell l is at
(l + 1/2) SIZE / L - 1/2 pixels, counted from the centre of the first pixel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.crops import SIZE


class Marginals(NamedTuple):
    """Heat maps of each landmark along x and along y.

    Attributes:
        x: (..., N, L) heights of the L cells across the image; 1 at the landmark.
        y: (..., N, L) heights of the L cells down the image; 1 at the landmark.
    """

    x: Tensor
    y: Tensor


def draw(xy: Tensor, length: int, sigma: float) -> Marginals:
    """Draw the network's target: the marginals of a Gaussian around each landmark.

    They are scaled to height 1 at the landmark for any sigma and L.

    Args:
        xy: (..., N, 2) pixels; NaN for unknown landmarks, which get a map of zeros.
        length: L.
        sigma: the Gaussian's standard deviation in pixels.

    Returns:
        Marginals of (..., N, L).
    """
    cells = torch.arange(length, device=xy.device, dtype=xy.dtype)
    distance = (cells + 0.5) * (SIZE / length) - 0.5 - xy[..., None]
    maps = torch.exp(-distance.square() / (2 * sigma**2)).nan_to_num(0.0)
    return Marginals(*maps.unbind(-2))


def read(maps: Marginals, sigma: float) -> tuple[Tensor, Tensor]:
    """Read landmarks and scores from maps.

    The score is the height of the lower of a landmark's two peaks, clipped to [0, 1].

    Args:
        maps: (..., N, L) for each axis.
        sigma: standard deviation in pixels of the Gaussians that the network was trained on.

    Returns:
        Landmarks (..., N, 2) in pixels and scores (..., N).
    """
    stacked = torch.stack(maps, -2)
    length = stacked.shape[-1]
    places, heights = dark(stacked, sigma * length / SIZE)
    xy = (places + 0.5) * (SIZE / length) - 0.5
    return xy, heights.amin(-1).clamp(0, 1)


def dark(maps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Find the peaks of one-dimensional maps to a fraction of a cell.

    Zhang, Zhu, Dai, Ye and Zhu, "Distribution-Aware Coordinate Representation for Human Pose
    Estimation" (DARK), CVPR 2020 (arXiv 1910.06278), in one dimension: the map is smoothed, and the
    logarithm's second-order Taylor expansion at the highest cell gives the centre. A sampled
    Gaussian's is found exactly but for rounding, at the ends of the map too.

    Args:
        sigma: standard deviation of the smoothing in cells; DARK takes the one drawn in training.

    Returns:
        Peaks (...) in cells, at most one cell from the highest cell, and the heights there (...).
    """
    length = maps.shape[-1]
    flat = maps.reshape(-1, length)
    reach = min(math.ceil(3 * sigma), (length - 3) // 2)
    smooth = _smoothed(flat, sigma, reach)
    best = smooth.argmax(-1, keepdim=True)
    # Near an end the smoothing lacks the cells beyond it and pushes the peak inwards. There the
    # unsmoothed map is used, within the reach of the smoothing.
    at_end = (best <= reach) | (best >= length - 1 - reach)
    cells = torch.arange(length, device=maps.device)
    nearby = flat.masked_fill((cells - best).abs() > reach, -math.inf)
    best = torch.where(at_end, nearby.argmax(-1, keepdim=True), best)

    middle = best.clamp(1, length - 2)
    neighbours = middle + torch.arange(-1, 2, device=maps.device)
    three = torch.where(at_end, flat.gather(-1, neighbours), smooth.gather(-1, neighbours))
    before, here, after = three.clamp_min(1e-12).log().unbind(-1)
    slope, curvature = (after - before) / 2, after - 2 * here + before
    # Without a downward curvature there is no peak to refine.
    peaked = curvature < 0
    offset = torch.where(peaked, -slope / torch.where(peaked, curvature, -1.0), 0.0)
    highest = best.squeeze(-1)
    refined = middle.squeeze(-1) + offset
    refined = torch.minimum(torch.maximum(refined, highest - 1.0), highest + 1.0)
    places = torch.where(peaked, refined, highest.to(refined.dtype))
    heights = flat.gather(-1, best).squeeze(-1)
    return places.reshape(maps.shape[:-1]), heights.reshape(maps.shape[:-1])


def _smoothed(flat: Tensor, sigma: float, reach: int) -> Tensor:
    """Convolve maps (K, L) with a Gaussian that is cut off after `reach` cells."""
    offsets = torch.arange(-reach, reach + 1, device=flat.device, dtype=flat.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]
    return F.conv1d(flat[:, None], kernel, padding=reach).squeeze(1)
