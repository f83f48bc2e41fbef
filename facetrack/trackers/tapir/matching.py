"""Where in a feature map does a point match: sampling, cost volumes, soft-argmax, patches.

Coordinates here are raster coordinates in cells, origin at the CORNER of the top-left cell: the
centre of cell (row r, column c) is at (x, y) = (c + 0.5, r + 0.5).
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    if batch == 1:
        queries = queries.flatten(0, 1)[None]
    # Eight bits of mantissa are too few to rank neighbouring cells: float32 even under autocast.
    with torch.autocast(maps.device.type, enabled=False):
        return (queries @ flat.transpose(1, 2)).view(*groups, frames, height, width)


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


def _lattice(xy: Tensor, size: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cells around xy (M, 2): flat indices (M, s, s) and validity for s = size + 1 whole cells
    per side, and the fractions (M, 2) that blend them into a size x size patch."""
    corner = xy - 0.5 - size // 2
    first = corner.floor()
    offsets = torch.arange(size + 1, device=xy.device)
    # Positions may run away to any value: clamp before the conversion to integers.
    start = first.clamp(-1e6, 1e6).long()
    columns = start[:, 0:1] + offsets
    rows = start[:, 1:2] + offsets
    column_ok = (columns >= 0) & (columns < width)
    row_ok = (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    return index, row_ok[:, :, None] & column_ok[:, None], corner - first


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
    index, valid, fraction = _lattice(xy, size, height, width)
    values = maps.flatten(1).gather(1, index.flatten(1)).view_as(index) * valid
    return _blend(values, fraction)


def patches_from_features(features: Tensor, queries: Tensor, xy: Tensor, size: int) -> Tensor:
    """Correlation patches of features (F, h, w, C) with queries (F, N, C) around xy (F, N, 2)
    raster cells -> (F, N, size, size): what `patches_from_maps` gives on the cost volume, without
    making the whole of it."""
    frames, height, width, channels = features.shape
    points = xy.shape[1]
    index, valid, fraction = _lattice(xy.flatten(0, 1), size, height, width)
    index = index.view(frames, points * (size + 1) ** 2)
    cells = features.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, channels))
    cells = cells.view(frames * points, (size + 1) ** 2, channels)
    # The dot product is linear: taken on whole cells and blended after, it costs less.
    values = (cells @ queries.reshape(-1, channels, 1)).view(-1, size + 1, size + 1)
    return _blend(values * valid, fraction).view(frames, points, size, size)
