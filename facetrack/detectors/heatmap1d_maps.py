"""One-dimensional heat maps: drawing them for known landmarks, reading landmarks from them.

A picture of SIZE pixels is divided into L cells on either axis; cell l has its centre at
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
    """A heat map of each landmark along x and another along y.

    Attributes:
        x: (..., N, L) height at each of L places across the picture; 1 at a landmark.
        y: (..., N, L) likewise down the picture.
    """

    x: Tensor
    y: Tensor


def draw(xy: Tensor, length: int, sigma: float) -> Marginals:
    """What a network should answer: the marginals of a Gaussian around each landmark.

    They are scaled to height 1 at the landmark, whatever sigma and L are.

    Args:
        xy: (..., N, 2) pixels; NaN where unknown, which gives a map of zeros.
        length: L.
        sigma: the Gaussian's standard deviation in pixels.

    Returns:
        Marginals of (..., N, L).
    """
    cells = torch.arange(length, device=xy.device, dtype=xy.dtype)
    away = (cells + 0.5) * (SIZE / length) - 0.5 - xy[..., None]
    maps = torch.exp(-away.square() / (2 * sigma**2)).nan_to_num(0.0)
    return Marginals(*maps.unbind(-2))


def read(maps: Marginals, sigma: float) -> tuple[Tensor, Tensor]:
    """Landmarks (..., N, 2) in pixels and scores (..., N) in [0, 1] of maps of (..., N, L).

    The score is the height of the lower of a landmark's two peaks, cut off at 0 and 1.

    Args:
        sigma: standard deviation in pixels of the Gaussians that the network learned to draw.
    """
    both = torch.stack(maps, -2)
    length = both.shape[-1]
    places, heights = dark(both, sigma * length / SIZE)
    xy = (places + 0.5) * (SIZE / length) - 0.5
    return xy, heights.amin(-1).clamp(0, 1)


def dark(maps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Where maps (..., L) peak, to a fraction of a cell, and how high.

    Zhang, Zhu, Dai, Ye and Zhu, "Distribution-Aware Coordinate Representation for Human Pose
    Estimation" (DARK), CVPR 2020 (arXiv 1910.06278), in one dimension: the map is smoothed, and the
    logarithm's second-order Taylor expansion at the highest cell gives the centre. A sampled
    Gaussian's is found exactly but for rounding, at the ends of the map too.

    Args:
        sigma: standard deviation of the smoothing in cells; DARK takes the one drawn in training.

    Returns:
        Places (...) in cells, at most a cell away from the highest, and the maps' heights there.
    """
    length = maps.shape[-1]
    flat = maps.reshape(-1, length)
    reach = min(math.ceil(3 * sigma), (length - 3) // 2)
    smooth = _smoothed(flat, sigma, reach)
    best = smooth.argmax(-1, keepdim=True)
    # Near an end the smoothing lacks what lies beyond it and pushes the peak inwards. There the
    # map itself is read, no farther off than the smoothing reaches.
    at_end = (best <= reach) | (best >= length - 1 - reach)
    cells = torch.arange(length, device=maps.device)
    nearby = flat.masked_fill((cells - best).abs() > reach, -math.inf)
    best = torch.where(at_end, nearby.argmax(-1, keepdim=True), best)

    middle = best.clamp(1, length - 2)
    around = middle + torch.arange(-1, 2, device=maps.device)
    three = torch.where(at_end, flat.gather(-1, around), smooth.gather(-1, around))
    before, here, after = three.clamp_min(1e-12).log().unbind(-1)
    slope, bend = (after - before) / 2, after - 2 * here + before
    # Without a bend downwards there is no peak to refine.
    peaked = bend < 0
    offset = torch.where(peaked, -slope / torch.where(peaked, bend, -1.0), 0.0)
    highest = best.squeeze(-1)
    refined = middle.squeeze(-1) + offset
    refined = torch.minimum(torch.maximum(refined, highest - 1.0), highest + 1.0)
    places = torch.where(peaked, refined, highest.to(refined.dtype))
    heights = flat.gather(-1, best).squeeze(-1)
    return places.reshape(maps.shape[:-1]), heights.reshape(maps.shape[:-1])


def _smoothed(flat: Tensor, sigma: float, reach: int) -> Tensor:
    """Maps (K, L) convolved with a Gaussian that ends `reach` cells away."""
    offsets = torch.arange(-reach, reach + 1, device=flat.device, dtype=flat.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum())[None, None]
    return F.conv1d(flat[:, None], kernel, padding=reach).squeeze(1)
