"""What networks should draw for known landmarks: Gaussians around points and along lines."""

from __future__ import annotations

import torch
from torch import Tensor

from facetrack.landmarks.schemes import Scheme


def point_maps(cells: Tensor, size: int, sigma: float) -> Tensor:
    """(B, N, size, size) Gaussians of height 1 around landmarks.

    Args:
        cells: (B, N, 2) x and y, in cells, from the centre of the first.
        sigma: in cells.
    """
    axis = torch.arange(size, device=cells.device, dtype=cells.dtype)
    x, y = (torch.exp(-(axis - c[..., None]).square() / (2 * sigma**2)) for c in cells.unbind(-1))
    return y[..., :, None] * x[..., None, :]


def line_maps(cells: Tensor, scheme: Scheme, size: int, sigma: float) -> Tensor:
    """(B, E, size, size) Gaussians of height 1 along the E lines of `scheme`, else as above."""
    axis = torch.arange(size, device=cells.device, dtype=cells.dtype)
    maps = cells.new_empty(len(cells), len(scheme.lines), size, size)
    for face, points in enumerate(cells):
        for e, line in enumerate(scheme.lines):
            index = [*line.indices, line.indices[0]] if line.closed else list(line.indices)
            away = _squared_distances(axis, points[index[:-1]], points[index[1:]]).amin(0)
            torch.exp(away.div_(-2 * sigma**2), out=maps[face, e])
    return maps


def _squared_distances(axis: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return (S, size, size) squared distances of the cells from S segments.

    Args:
        axis: (size,) x and y of the cells.
        start, end: (S, 2) of the segments.
    """
    along = end - start
    length = along.square().sum(-1).clamp_min(1e-6)[:, None, None]
    x, y = (axis - start[:, i, None] for i in (0, 1))
    projected = (x * along[:, :1])[:, None, :] + (y * along[:, 1:])[:, :, None]
    share = (projected / length).clamp_(0, 1)
    across = x[:, None, :] - share * along[:, 0, None, None]
    down = y[:, :, None] - share.mul_(along[:, 1, None, None])
    return across.square_().add_(down.square_())


def membership(scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Which landmarks lie on which line: (N, E) 0 or 1, and (N,) 1 for those on none."""
    on = torch.zeros(scheme.count, len(scheme.lines))
    for e, line in enumerate(scheme.lines):
        on[list(line.indices), e] = 1
    return on, (on.sum(1) == 0).float()
