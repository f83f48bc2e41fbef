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
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([columns, rows], -1).view(1, 1, -1, 2)
    maps = []
    for line in scheme.lines:
        index = [*line.indices, line.indices[0]] if line.closed else list(line.indices)
        start, end = cells[:, index[:-1], None], cells[:, index[1:], None]
        along = end - start
        length = along.square().sum(-1).clamp_min(1e-6)
        share = (((grid - start) * along).sum(-1) / length).clamp(0, 1)[..., None]
        away = (grid - start - share * along).square().sum(-1).amin(1)
        maps.append(torch.exp(-away / (2 * sigma**2)).view(-1, size, size))
    return torch.stack(maps, 1)


def membership(scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Which landmarks lie on which line: (N, E) 0 or 1, and (N,) 1 for those on none."""
    on = torch.zeros(scheme.count, len(scheme.lines))
    for e, line in enumerate(scheme.lines):
        on[list(line.indices), e] = 1
    return on, (on.sum(1) == 0).float()
