"""The detectors' losses. All take float32; `weight` (B, N) is 0 for landmarks that do not count."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.heatmap1d_maps import Marginals
from facetrack.detectors.pipnet import PipMaps


def mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` (B, N) over the landmarks that count."""
    return (values * weight).sum() / weight.sum().clamp_min(1)


def number(value: Tensor) -> float:
    """A loss for the log."""
    return float(value.detach())


# ---------------------------------------------------------------- PIPNet

SCORE_WEIGHT = 10.0
"""Of the score maps' error, beside 1 for the offsets': upstream's."""


def pip_loss(
    maps: PipMaps, places: Tensor, near: Tensor, weight: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Pixel-in-pixel regression (Jin et al., arXiv 2003.03771): squared error of the score maps,
    absolute errors of the offsets in the landmark's own cell, its own and its neighbours'.

    Args:
        places: (B, N, 2) landmarks, from 0 to 1 across the crop. Those outside belong to the
            nearest cell and have offsets beyond 0 and 1.
        near: (N, K) each landmark's neighbours.
    """
    batch, points, height, width = maps.score.shape
    grid = places * places.new_tensor([width, height])
    limit = torch.tensor([width - 1, height - 1], device=grid.device)
    cell = torch.minimum(grid.floor().long().clamp_min(0), limit)
    flat = cell[..., 1] * width + cell[..., 0]
    wanted = torch.zeros(batch, points, height * width, device=grid.device)
    wanted.scatter_(2, flat[..., None], 1.0)
    score = mean((maps.score.flatten(2) - wanted).square().mean(-1), weight)

    def at_cell(values: Tensor) -> Tensor:
        """(B, N, K) of (B, N * K, H, W)."""
        values = values.reshape(batch, points, -1, height * width)
        index = flat[:, :, None, None].expand(-1, -1, values.shape[2], 1)
        return values.gather(3, index).squeeze(3)

    own, other = grid - cell, grid[:, near] - cell[:, :, None]
    offset = mean((at_cell(maps.x)[..., 0] - own[..., 0]).abs(), weight)
    offset = offset + mean((at_cell(maps.y)[..., 0] - own[..., 1]).abs(), weight)
    known = weight[:, near] * weight[:, :, None]
    around = mean((at_cell(maps.near_x) - other[..., 0]).abs(), known)
    around = around + mean((at_cell(maps.near_y) - other[..., 1]).abs(), known)
    parts = {"score": number(score), "offset": number(offset), "neighbours": number(around)}
    return SCORE_WEIGHT * score + offset + around, parts


# ---------------------------------------------------------------- heat maps


OMEGA, THETA, ALPHA = 14.0, 0.5, 2.1
"""Of the adaptive wing loss, with epsilon 1: the paper's."""
CLOSE, CLOSE_WEIGHT = 0.05, 10.0
"""Cells higher than this count that many times more. The paper dilates what is higher than 0.2 by
a cell, which for Gaussians of 1.5 cells is the same."""


CHUNK = 1 << 16
"""Cells that are computed at once: what fits in a core's caches."""


class _AdaptiveWing(torch.autograd.Function):
    """The loss of each map, with its gradient written out: a third of the passes over memory."""

    @staticmethod
    def forward(context: Any, drawn: Tensor, wanted: Tensor) -> Tensor:
        size = drawn.shape[-2] * drawn.shape[-1]
        maps, targets = drawn.reshape(-1, size), wanted.reshape(-1, size)
        gradient, loss = torch.empty_like(maps), maps.new_empty(len(maps))
        number = max(1, CHUNK // size) if drawn.device.type == "cpu" else len(maps)
        for first in range(0, len(maps), number):
            part = slice(first, first + number)
            loss[part], gradient[part] = _adaptive_wing(maps[part], targets[part])
        context.save_for_backward(gradient.view_as(drawn))
        return loss.view(drawn.shape[:-2])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = context.saved_tensors
        return gradient * gradients[0][..., None, None], None


def _adaptive_wing(drawn: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses (M,) of maps (M, cells), and the gradients (M, cells)."""
    power = ALPHA - wanted
    away = drawn - wanted
    error = away.abs().clamp_min_(1e-6)
    grown = (error.log() * power).exp_()
    small = grown.log1p().mul_(OMEGA)
    steep = grown.div_(grown + 1).mul_(power).div_(error).mul_(OMEGA)
    grown = (power * math.log(THETA)).exp_()
    slope = (grown / (grown + 1)).mul_(power).mul_(OMEGA / THETA)
    offset = (slope * THETA).sub_(grown.log1p_().mul_(OMEGA))
    far = error >= THETA
    weight = (wanted >= CLOSE).to(drawn.dtype).mul_(CLOSE_WEIGHT).add_(1)
    weight /= drawn.shape[-1]
    gradient = torch.where(far, slope, steep).mul_(weight).copysign_(away)
    loss = torch.where(far, error.mul_(slope).sub_(offset), small)
    return loss.mul_(weight).sum(-1), gradient


def adaptive_wing(drawn: Tensor, wanted: Tensor) -> Tensor:
    """(B, N) means over maps (B, N, h, w) of the weighted adaptive wing loss (Wang, Bo and Li,
    arXiv 1904.07399): sharp where the map is high, tolerant of its background."""
    loss: Tensor = _AdaptiveWing.apply(drawn, wanted)
    return loss


def squared(drawn: Tensor, wanted: Tensor) -> Tensor:
    """(B, N) squared error summed over maps (B, N, h, w)."""
    return (drawn - wanted).square().sum((-2, -1))


def marginal_loss(drawn: Marginals, wanted: Marginals, weight: Tensor) -> Tensor:
    """Squared error of one-dimensional maps (B, N, L), summed over both (arXiv 2004.02108)."""
    both = (drawn.x - wanted.x).square().sum(-1) + (drawn.y - wanted.y).square().sum(-1)
    return mean(both, weight)


# ---------------------------------------------------------------- STAR

SMOOTH = 0.01
"""Error from -1 to 1 across the map below which the distance is squared."""


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean places (B, N, 2), from -1 to 1 across the cells, and covariances (B, N, 2, 2) of maps
    (B, N, h, w) >= 0.

    The covariance is the unbiased one of a weighted sample.
    """
    height, width = maps.shape[-2:]
    share = maps / maps.sum((-2, -1), keepdim=True).clamp_min(1e-6)
    x = torch.linspace(-1, 1, width, device=maps.device)
    y = torch.linspace(-1, 1, height, device=maps.device)
    across, down = share.sum(-2), share.sum(-1)
    mx, my = across @ x, down @ y
    vx = across @ x.square() - mx.square()
    vy = down @ y.square() - my.square()
    vxy = torch.einsum("bnyx,x,y->bn", share, x, y) - mx * my
    left = (1 - share.square().sum((-2, -1))).clamp_min(1e-3)
    covariance = torch.stack([vx, vxy, vxy, vy], -1).unflatten(-1, (2, 2))
    return torch.stack([mx, my], -1), covariance / left[..., None, None]


def principal(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (..., 2), the larger first, along unit axes (..., 2, 2), one a row, of symmetric
    (..., 2, 2). The axes carry no gradient: where the variances are equal they have none."""
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    middle = (a + c) / 2
    apart = (((a - c) / 2).square() + b.square()).clamp_min(1e-12).sqrt()
    angle = (0.5 * torch.atan2(2 * b, a - c)).detach()
    first = torch.stack([angle.cos(), angle.sin()], -1)
    second = torch.stack([-angle.sin(), angle.cos()], -1)
    values = torch.stack([middle + apart, middle - apart], -1).clamp_min(1e-6)
    return values, torch.stack([first, second], -2)


def star_loss(maps: Tensor, truth: Tensor, weight: Tensor, restriction: float = 1.0) -> Tensor:
    """STAR loss (Zhou et al., arXiv 2306.02763): the error of each map's mean along the map's own
    principal axes, each divided by the spread along it, so that an ambiguous direction counts
    less; and the variances themselves, lest the spread grows to hide the error.

    Args:
        maps: (B, N, h, w) >= 0.
        truth: (B, N, 2) from -1 to 1 across the cells.
        restriction: weight of the variances.
    """
    places, covariance = moments(maps)
    variance, axes = principal(covariance)
    error = (axes @ (truth - places)[..., None])[..., 0].abs()
    distance = torch.where(error < SMOOTH, error.square() / (2 * SMOOTH), error - SMOOTH / 2)
    loss = (distance / variance.sqrt()).sum(-1) + restriction * variance.sum(-1)
    return mean(loss, weight)


# ---------------------------------------------------------------- deep CCA

CELLS, DIMENSIONS = 4, 16
"""Features are averaged to CELLS x CELLS places, each a sample, of DIMENSIONS projections."""
RIDGE = 1e-3


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """How far two views of the same samples (m, d) say the same: the sum of their canonical
    correlations over d, from 0 to 1 (Andrew et al., "Deep Canonical Correlation Analysis", 2013).
    """
    count, dimensions = first.shape
    one, two = first - first.mean(0), second - second.mean(0)
    ridge = RIDGE * torch.eye(dimensions, device=first.device)

    def whitener(centred: Tensor) -> Tensor:
        # Cholesky's factor is as good a root as the symmetric one: the trace norm is the same.
        covariance = centred.T @ centred / (count - 1)
        scale = covariance.diagonal().mean().clamp_min(1e-12)
        return torch.linalg.cholesky(covariance + scale * ridge)

    across = one.T @ two / (count - 1)
    left = torch.linalg.solve_triangular(whitener(one), across, upper=False)
    both = torch.linalg.solve_triangular(whitener(two), left.mT, upper=False)
    return torch.linalg.svdvals(both).sum() / dimensions


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """`correlation` of two views' features (B, C, h, w).

    Places are samples, and the channels go through a fixed random projection, because the
    measure needs many more samples than dimensions.
    """

    def samples(features: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(features, min(CELLS, features.shape[-1]))
        return pooled.permute(0, 2, 3, 1).flatten(0, 2)

    one, two = samples(first), samples(second)
    dimensions = min(DIMENSIONS, one.shape[1], len(one) // 4)
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(one.shape[1], dimensions, generator=generator).to(one.device)
    projection = projection / one.shape[1] ** 0.5
    return correlation(one @ projection, two @ projection)
