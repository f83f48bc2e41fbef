"""Where the motion of the other points puts a point: robust moving least squares with memory.

A hidden point still belongs to a face whose other points are seen. For each point a similarity
(rotation, scale, translation) is fitted to the motion of the points near it, weighed by how sure
they are, outliers weighed down (Schaefer et al., "Image deformation using moving least squares",
SIGGRAPH 2006). Where nothing is seen, the points stay where they were last: the positions held
from the frame before take part with a small weight. A few products of N x N a frame, one after
the other: in NumPy, which spends less than half as long on calls as PyTorch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
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
ALONE = 1 << 18
"""Multiplications up to which NumPy's BLAS does a product by itself. For more it takes threads of
its own, which then wait, spinning, on the cores that the network is to run on: from 256 points on
a frame took twice as long."""


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


class Fit(NamedTuple):
    """One weighted similarity a point, for one frame.

    Positions are complex numbers x + iy, so that a similarity is one of them too, and every sum
    over the sources of every point is one product.

    Attributes:
        query: (B, N) complex64 positions in the query frame.
        moments: (B, N, 4) of the present estimates.
        then: (B, N, 4) moments of the held positions, which all weigh alike, summed.
        closeness: (B, N, N) float32, as in `neighbour_weights`, upper half.
    """

    query: np.ndarray
    moments: np.ndarray
    then: np.ndarray
    closeness: np.ndarray

    def predict(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (B, N) that the others' motion says, and the summed weight (B, N) that each
        rests on; `weights` (B, N) are the estimates'."""
        sums = summed(self.closeness, self.moments * weights[..., None]) + self.then
        sizes, query, now, product = np.moveaxis(sums, -1, 0)
        total, squares = sizes.real, sizes.imag
        rest = np.maximum(total, np.float32(1e-6))
        mean, centre, back = query / rest, now / rest, query.conj()
        pull = np.float32(PULL) * total
        variance = np.maximum(squares - (back * mean).real, 0) + pull
        turn = (product - back * centre + pull) / np.maximum(variance, np.float32(1e-6))
        return centre + turn * (self.query - mean), total


def moments_of(query: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """What a similarity's fit sums over the sources: complex q (B, S) and p (..., S) ->
    (..., S, 4): 1 + i|q|^2, q, p, conj(q) p."""
    sizes = 1 + 1j * (query * query.conj()).real
    parts = np.broadcast_arrays(sizes, query, xy, query.conj() * xy)
    return np.stack(parts, -1).astype(np.complex64, copy=False)


def summed(closeness: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Sums of moments (B, S, 4) over the sources, by closeness (B, S, N) -> (B, N, 4)."""
    # Real numbers beside one another: closeness has no imaginary part to be multiplied.
    numbers = moments.view(np.float32)
    rows = max(1, ALONE // numbers[0].size)
    weights = closeness.swapaxes(-1, -2)
    sums = [weights[:, i : i + rows] @ numbers for i in range(0, weights.shape[1], rows)]
    return (sums[0] if len(sums) == 1 else np.concatenate(sums, 1)).view(np.complex64)


@torch.no_grad()
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
        prediction for the rest. Without gradients.
    """
    origin = query.mean(1, keepdim=True)  # moments about the origin lose digits far from it
    q, p, h = (_complex(v) for v in (query - origin, xy - origin[:, None], held - origin))
    sure = weights.float().cpu().numpy()
    upper, lower = np.split(closeness.cpu().numpy(), 2, axis=1)
    moments, now = moments_of(q[:, None], p), np.moveaxis(p, 1, 0)
    predictions, totals = np.empty_like(p), np.empty_like(sure)
    with np.errstate(all="ignore"):  # points may have run away to any place
        for t, there in enumerate(now):
            fit = Fit(q, moments[:, t], summed(lower, moments_of(q, h)), upper)
            predicted, _ = fit.predict(sure[:, t])
            away = np.abs(predicted - there) / np.float32(HALF_AT)
            predicted, totals[:, t] = fit.predict(sure[:, t] / (1 + away * away))
            predictions[:, t] = predicted
            h = predicted + sure[:, t] * (there - predicted)
    found = _positions(predictions, query) + origin[:, None]
    return found, torch.from_numpy(totals).to(query.device), _positions(h, query) + origin


def _complex(xy: Tensor) -> np.ndarray:
    """(..., 2) -> (...) complex64."""
    return xy.float().cpu().contiguous().numpy().view(np.complex64)[..., 0]


def _positions(xy: np.ndarray, like: Tensor) -> Tensor:
    """The way back, on the device of `like`."""
    numbers = np.ascontiguousarray(xy, np.complex64)[..., None].view(np.float32)
    return torch.from_numpy(numbers).to(like.device)
