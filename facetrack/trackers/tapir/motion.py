"""Where the motion of the other points puts a point: robust moving least squares with memory.

A hidden point still belongs to a face whose other points are seen. For each point a similarity
(rotation, scale, translation) is fitted to the motion of the points near it, weighed by how sure
they are, outliers weighed down (Schaefer et al., "Image deformation using moving least squares",
SIGGRAPH 2006). Where nothing is seen, the points stay where they were last: the positions held
from the frame before take part with a small weight. A few products of N x N a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

REACH = 0.5
"""Standard deviation of the neighbourhood, as a share of the points' own spread."""
HELD_WEIGHT = 0.1
"""Weight that all held positions have together, against 1 for a point surely seen."""
HALF_AT = 3.0
"""Pixels at which a point that disagrees with its neighbours counts a half."""
PULL = 4.0
"""Square pixels that pull towards "no rotation, no scale": lone neighbours must not fix either."""


def neighbour_weights(query: Tensor) -> Tensor:
    """Closeness of points in the query frame: query (B, N, 2) -> (B, 2N, N).

    The upper half is for the points' present positions, with 0 on the diagonal; the lower half
    for held positions, times HELD_WEIGHT / N. Gaussian, so that it does not depend on the size of
    the face; a small floor lets far points speak where all near ones are hidden.
    """
    points = query.shape[1]
    spread = (query - query.mean(1, keepdim=True)).square().sum(-1).mean(-1).clamp_min(1.0)
    distance = (query[:, :, None] - query[:, None]).square().sum(-1)
    weights = torch.exp(-distance / (2 * REACH * REACH * spread[:, None, None])) + 1e-2
    others = weights * (1 - torch.eye(points, device=query.device))
    return torch.cat([others, weights * (HELD_WEIGHT / points)], 1)


def _fit(weights: Tensor, closeness: Tensor, query: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """One weighted similarity a point.

    weights (B, S) of S sources at query (B, S, 2) and now at xy (B, S, 2), closeness (B, S, N);
    the first N sources are the points -> predicted positions (B, N, 2) and the summed weight
    (B, N).
    """
    points = closeness.shape[2]
    qx, qy = query.unbind(-1)
    px, py = xy.unbind(-1)
    # Every sum over the sources of every point in one product: (B, 8, S) -> (B, 8, N).
    ones = torch.ones_like(qx)
    moments = weights[:, None] * torch.stack(
        [ones, qx, qy, px, py, qx * qx + qy * qy, qx * px + qy * py, qx * py - qy * px], 1
    )
    with torch.autocast(moments.device.type, enabled=False):  # variances are differences
        sums = moments @ closeness
    total, sqx, sqy, _, _, sqq, dot, cross = sums.unbind(1)
    rest = total.clamp_min(1e-6)
    mqx, mqy, mpx, mpy = (sums[:, 1:5] / rest[:, None]).unbind(1)
    variance = (sqq - sqx * mqx - sqy * mqy).clamp_min(0) + PULL * total
    a = (dot - sqx * mpx - sqy * mpy + PULL * total) / variance.clamp_min(1e-6)
    b = (cross - sqx * mpy + sqy * mpx) / variance.clamp_min(1e-6)
    dx, dy = qx[:, :points] - mqx, qy[:, :points] - mqy
    return torch.stack([mpx + a * dx - b * dy, mpy + b * dx + a * dy], -1), total


def predict_from_others(
    query: Tensor, xy: Tensor, weights: Tensor, closeness: Tensor, held: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the others' motion puts each point, frame after frame.

    Args:
        query: (B, N, 2) positions in the query frame, pixels.
        xy: (B, T, N, 2) present estimates, pixels.
        weights: (B, T, N) in [0, 1], how sure each estimate is.
        closeness: (B, 2N, N) from `neighbour_weights`.
        held: (B, N, 2) positions held from the frame before the first.

    Returns:
        (B, T, N, 2) predicted positions, (B, T, N) the summed weight that each rests on, and
        (B, N, 2) the positions held from the last frame: the estimate as far as it is sure, the
        prediction for the rest.
    """
    origin = query.mean(1, keepdim=True)  # moments about the origin lose digits far from it
    sources = torch.cat([query, query], 1) - origin
    predictions, totals = [], []
    for t in range(xy.shape[1]):
        now, sure = xy[:, t], weights[:, t]
        there = torch.cat([now, held], 1) - origin
        always = torch.ones_like(sure)
        predicted, _ = _fit(torch.cat([sure, always], 1), closeness, sources, there)
        residual = (predicted + origin - now).square().sum(-1)
        robust = sure / (1 + residual / (HALF_AT * HALF_AT))
        predicted, total = _fit(torch.cat([robust, always], 1), closeness, sources, there)
        predicted = predicted + origin
        held = sure[..., None] * now + (1 - sure[..., None]) * predicted
        predictions.append(predicted)
        totals.append(total)
    return torch.stack(predictions, 1), torch.stack(totals, 1), held
