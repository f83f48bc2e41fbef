"""Where in a feature map does a point match: sampling, cost volumes, soft-argmax, patches.

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
"""Numbers gathered at once when correlation patches are taken from features. What a processor's
cache holds is multiplied there, three times as fast; a GPU wants few large calls."""


def trilinear(maps: Tensor, txy: Tensor) -> Tensor:
    """Sample maps (B, T, h, w, C) at txy (B, N, 3): frame (an integer is that frame exactly) and
    raster cells -> (B, N, C); the border repeats."""
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
    """Dot products of queries (B, N, C) with maps (B, T, h, w, C), or those (1, T, h, w, C) of one
    clip that all B share -> (B, N, T, h, w)."""
    batch, frames, height, width, channels = maps.shape
    flat = maps.reshape(batch, frames * height * width, channels)
    groups = queries.shape[:2]
    # Eight bits of mantissa are too few to rank neighbouring cells: float32 even under autocast.
    with torch.autocast(maps.device.type, enabled=False):
        if batch == 1:
            found = onednn.matmul_transposed(queries.flatten(0, 1), flat[0])
        else:
            found = queries @ flat.transpose(1, 2)
    return found.view(*groups, frames, height, width)


def soft_argmax(logits: Tensor, radius: float = 5.0) -> Tensor:
    """Expected position of logits (..., h, w) within `radius` cells of the best -> (..., 2) xy.

    The softmax runs over the whole map; what lies outside the radius is then left out and the
    rest renormalised, so that a second, distant peak does not pull the point away.
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
    near = (x - x[best]).square() + (y - y[best]).square() < radius * radius
    heat = heat * near
    heat = heat / heat.sum(-1, keepdim=True).clamp_min(1e-12)
    return torch.stack([(heat * (x + 0.5)).sum(-1), (heat * (y + 0.5)).sum(-1)], -1)


def _blend(values: Tensor, fraction: Tensor) -> Tensor:
    """(M, s, s) values on whole cells -> (M, s - 1, s - 1) at the fraction (M, 2)."""
    fx, fy = fraction[:, 0, None, None], fraction[:, 1, None, None]
    values = values[:, :, :-1] + (values[:, :, 1:] - values[:, :, :-1]) * fx
    return values[:, :-1] + (values[:, 1:] - values[:, :-1]) * fy


def patches_from_maps(maps: Tensor, xy: Tensor, size: int) -> Tensor:
    """Patches of size x size cells (row-major, bilinear, zero outside) around xy.

    maps (M, h, w) holds one scalar map a point, xy (M, 2) raster cells -> (M, size, size).
    """
    height, width = maps.shape[1:]
    index, valid, fraction = surrounding_cells(xy, size, height, width)
    values = maps.flatten(1).gather(1, index.flatten(1)).view_as(index) * valid
    return _blend(values, fraction)


def patches_from_features(
    features: Tensor, queries: Tensor, xy: Tensor, size: int, normalise: bool = False
) -> Tensor:
    """Correlation patches of features (F, h, w, C) with queries (F, N, C) around xy (F, N, 2)
    raster cells -> (F, N, size, size): what `patches_from_maps` gives on the cost volume, without
    making the whole of it.

    Args:
        normalise: the features are not of unit length yet, and count as if they were. Only the
            cells that are looked at are normalised.
    """
    frames, height, width, channels = features.shape
    index, valid, fraction = surrounding_cells(xy.flatten(0, 1), size, height, width)
    first = torch.arange(frames, device=index.device) * (height * width)
    rows = index.view(frames, -1) + first[:, None]
    table, wanted = features.flatten(0, 2), queries.reshape(-1, 1, channels)
    cells = (size + 1) ** 2
    at_once = max(1, GATHER_LIMIT.get(features.device.type, 1 << 26) // (cells * channels))
    parts = []
    # The dot product is linear: taken on whole cells and blended after, it costs less. Eight bits
    # of mantissa are too few to rank neighbouring cells: float32 even under autocast.
    with torch.autocast(features.device.type, enabled=False):
        for part, query in zip(
            rows.view(-1, cells).split(at_once), wanted.split(at_once), strict=True
        ):
            found = table.index_select(0, part.flatten()).float().view(-1, cells, channels)
            # A row times a matrix: several times faster than the matrix times a column.
            values = (query @ found.transpose(1, 2))[:, 0]
            parts.append(values * inverse_length(found) if normalise else values)
    values = joined(parts).view(-1, size + 1, size + 1)
    return _blend(values * valid, fraction).view(frames, -1, size, size)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One after the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def inverse_length(x: Tensor) -> Tensor:
    """One over the length of float32 (..., C) over C -> (...)."""
    return x.square().sum(-1).clamp_min(1e-12).rsqrt()


def expected_offset(weights: Tensor, size: int) -> Tensor:
    """Mean offset from a patch's centre, in cells: weights (M, size**2) summing to 1 -> (M, 2)."""
    return (weights[..., None] * _offsets(size, weights.device).to(weights.dtype)).sum(1)


@functools.lru_cache
def _offsets(size: int, device: torch.device) -> Tensor:
    """(size**2, 2) xy of a patch's cells from its centre, row-major."""
    with torch.inference_mode(False):
        steps = torch.arange(size, device=device, dtype=torch.float32) - size // 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], -1)


def upsampled(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation of float32 maps (..., h, w) to (..., height, width), as
    `F.interpolate` does without aligned corners. As two products it is several times faster on
    thousands of small maps."""
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
    """(after, before) weights of the old cells in the new ones."""
    with torch.inference_mode(False):
        cells = torch.eye(before, device=device)[None, None]
        stretched = F.interpolate(cells, size=(after, before), mode="bilinear", align_corners=False)
        return stretched[0, 0].contiguous()
