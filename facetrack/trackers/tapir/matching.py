"""Match points with feature maps: sampling, cost volumes, soft-argmax, correlation patches.

Coordinates here are raster coordinates in cells, origin at the CORNER of the top-left cell: the
centre of cell (row r, column c) is at (x, y) = (c + 0.5, r + 0.5).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.ops.sampling import surrounding_cells
from facetrack.runtime import onednn

GATHER_LIMIT = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Numbers gathered at once for correlation patches, by kind of device. On a CPU they fit into the
cache, where they are multiplied three times as fast; a GPU works best with few large calls."""
PEAK_RADIUS = 5.0
"""Cells around the highest one that count for a position, as in TAPIR."""


def trilinear(maps: Tensor, txy: Tensor) -> Tensor:
    """Interpolate maps linearly in time and space.

    Args:
        maps: (B, T, h, w, C); the border repeats.
        txy: (B, N, 3) frame number and position in cells.

    Returns:
        (B, N, C).
    """
    batch, frames = maps.shape[:2]
    t = txy[..., 0].clamp(0, frames - 1)
    before = t.floor().long()
    after = (before + 1).clamp(max=frames - 1)
    rows = torch.arange(batch, device=maps.device)[:, None]
    out = []
    for index in (before, after):
        out.append(_bilinear_at(maps, rows, index, txy[..., 1:]))
    fraction = (t - before)[..., None]
    return out[0] * (1 - fraction) + out[1] * fraction


def _bilinear_at(maps: Tensor, rows: Tensor, index: Tensor, xy: Tensor) -> Tensor:
    """Interpolate frames `index` (B, N) of maps at xy (B, N, 2) -> (B, N, C)."""
    height, width = maps.shape[2:4]
    x = (xy[..., 0] - 0.5).clamp(0, width - 1)
    y = (xy[..., 1] - 0.5).clamp(0, height - 1)
    x0, y0 = x.floor().long(), y.floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = maps[rows, index, y0, x0] * (1 - fx) + maps[rows, index, y0, x1] * fx
    bottom = maps[rows, index, y1, x0] * (1 - fx) + maps[rows, index, y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def cost_volume(queries: Tensor, maps: Tensor) -> Tensor:
    """Compute the dot product of every query with every cell.

    Args:
        queries: (B, N, C).
        maps: (B, T, h, w, C), or (1, T, h, w, C) shared by all B.

    Returns:
        (B, N, T, h, w).
    """
    batch, frames, height, width, channels = maps.shape
    flat = maps.reshape(batch, frames * height * width, channels)
    groups = queries.shape[:2]
    # Eight bits of mantissa are too few to rank neighbouring cells: float32 even under autocast.
    with torch.autocast(maps.device.type, enabled=False):
        if batch == 1:
            scores = onednn.matmul_transposed(queries.flatten(0, 1), flat[0])
        else:
            scores = queries @ flat.transpose(1, 2)
    return scores.view(*groups, frames, height, width)


def soft_argmax(logits: Tensor) -> Tensor:
    """Return the expected position within PEAK_RADIUS cells of the highest logit.

    The softmax runs over the whole map. Cells outside the radius are then left out and the rest
    renormalised, so that a second, distant peak does not pull the point away.

    Args:
        logits: (..., h, w).

    Returns:
        (..., 2) xy in cells.
    """
    height, width = logits.shape[-2:]
    heat = logits.flatten(-2).softmax(-1)
    best = heat.argmax(-1, keepdim=True)
    y, x = torch.meshgrid(
        torch.arange(height, device=logits.device, dtype=heat.dtype),
        torch.arange(width, device=logits.device, dtype=heat.dtype),
        indexing="ij",
    )
    x, y = x.flatten(), y.flatten()
    near = (x - x[best]).square() + (y - y[best]).square() < PEAK_RADIUS**2
    heat = heat * near
    heat = heat / heat.sum(-1, keepdim=True).clamp_min(1e-12)
    return torch.stack([(heat * (x + 0.5)).sum(-1), (heat * (y + 0.5)).sum(-1)], -1)


def _blend(values: Tensor, fraction: Tensor) -> Tensor:
    """Interpolate values (M, s, s) of whole cells at fractions (M, 2) -> (M, s - 1, s - 1)."""
    fx, fy = fraction[:, 0, None, None], fraction[:, 1, None, None]
    values = values[:, :, :-1] + (values[:, :, 1:] - values[:, :, :-1]) * fx
    return values[:, :-1] + (values[:, 1:] - values[:, :-1]) * fy


def patches_from_maps(maps: Tensor, xy: Tensor, size: int) -> Tensor:
    """Sample patches of size x size cells (row-major, bilinear, zero outside) around points.

    Args:
        maps: (M, h, w), one scalar map per point.
        xy: (M, 2) in cells.

    Returns:
        (M, size, size).
    """
    height, width = maps.shape[1:]
    index, valid, fraction = surrounding_cells(xy, size, height, width)
    values = maps.flatten(1).gather(1, index.flatten(1)).view_as(index) * valid
    return _blend(values, fraction)


def patches_from_features(
    features: Tensor, queries: Tensor, xy: Tensor, size: int, normalise: bool = False
) -> Tensor:
    """Correlate queries with the cells around points.

    The result is that of `patches_from_maps` on the cost volume, without computing all of it.

    Args:
        features: (F, h, w, C).
        queries: (F, N, C).
        xy: (F, N, 2) in cells.
        normalise: bring the features to unit length first; only the cells in use are normalised.

    Returns:
        (F, N, size, size) correlation patches.
    """
    frames, height, width, channels = features.shape
    index, valid, fraction = surrounding_cells(xy.flatten(0, 1), size, height, width)
    first = torch.arange(frames, device=index.device) * (height * width)
    rows = index.view(frames, -1) + first[:, None]
    table, targets = features.flatten(0, 2), queries.reshape(-1, 1, channels)
    cells = (size + 1) ** 2
    gathered = max(1, GATHER_LIMIT.get(features.device.type, 1 << 26) // (cells * channels))
    parts = []
    # The dot product is linear: computed on whole cells and then interpolated, it costs less. Eight
    # bits of mantissa are too few to rank neighbouring cells: float32 even under autocast.
    with torch.autocast(features.device.type, enabled=False):
        for part, query in zip(
            rows.view(-1, cells).split(gathered), targets.split(gathered), strict=True
        ):
            near = table.index_select(0, part.flatten()).float().view(-1, cells, channels)
            # A row times a matrix: several times faster than the matrix times a column.
            values = (query @ near.transpose(1, 2))[:, 0]
            parts.append(values * inverse_length(near) if normalise else values)
    values = concatenate(parts).view(-1, size + 1, size + 1)
    return _blend(values * valid, fraction).view(frames, -1, size, size)


def concatenate(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors along their first axis, without copying a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def inverse_length(x: Tensor) -> Tensor:
    """Return the reciprocal lengths (...) of float32 vectors (..., C)."""
    return x.square().sum(-1).clamp_min(1e-12).rsqrt()


def expected_offset(weights: Tensor, size: int) -> Tensor:
    """Return the mean offset from a patch's centre.

    Args:
        weights: (M, size**2), summing to 1.

    Returns:
        (M, 2) xy in cells.
    """
    return (weights[..., None] * _offsets(size, weights.device).to(weights.dtype)).sum(1)


@functools.lru_cache
def _offsets(size: int, device: torch.device) -> Tensor:
    """Return (size**2, 2) xy of a patch's cells from its centre, row-major."""
    with torch.inference_mode(False):
        steps = torch.arange(size, device=device, dtype=torch.float32) - size // 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], -1)


def upsample(maps: Tensor, height: int, width: int) -> Tensor:
    """Interpolate float32 maps (..., h, w) bilinearly to (..., height, width).

    The result is that of `F.interpolate` without aligned corners. As two matrix products it is
    several times faster on thousands of small maps.
    """
    rows = _interpolation(maps.shape[-2], height, maps.device)
    columns = _interpolation(maps.shape[-1], width, maps.device)
    with torch.autocast(maps.device.type, enabled=False):
        for side in (rows, columns):
            turned = maps.transpose(-1, -2)
            stretched = onednn.matmul_transposed(turned.reshape(-1, turned.shape[-1]), side)
            maps = stretched.view(*turned.shape[:-1], len(side))
    return maps


@functools.lru_cache
def _interpolation(before: int, after: int, device: torch.device) -> Tensor:
    """Return (after, before) weights of the old cells in the new ones."""
    with torch.inference_mode(False):
        cells = torch.eye(before, device=device)[None, None]
        stretched = F.interpolate(cells, size=(after, before), mode="bilinear", align_corners=False)
        return stretched[0, 0].contiguous()
