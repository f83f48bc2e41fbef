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


class Fit:
    """One weighted similarity a point, for one frame.

    Positions are complex numbers x + iy, so that a similarity is one of them too, and every sum
    over the sources of every point is one product: few operations, on which a CPU spends little
    besides calling them.

    Args:
        query: (B, N) positions in the query frame.
        sizes: (B, N) from `sizes_of` them.
        then: (B, 4, N) moments of the held positions, which all weigh alike, summed.
        now: (B, N) present estimates.
        closeness: (B, N, N) complex, as in `neighbour_weights`, upper half.
    """

    def __init__(
        self, query: Tensor, sizes: Tensor, then: Tensor, now: Tensor, closeness: Tensor
    ) -> None:
        self.query, self.then, self.closeness = query, then, closeness
        self.moments = moments(query, sizes, now)

    def predict(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, N) that the others' motion says, and the summed weight (B, N) that each
        rests on; `weights` (B, N) are the estimates'."""
        sums = (self.moments * weights[:, None]) @ self.closeness + self.then
        sizes, query, now, product = sums.unbind(1)
        total, squares = sizes.real, sizes.imag
        rest = total.clamp_min(1e-6)
        mean = query / rest
        centre = now / rest
        pull = PULL * total
        variance = (squares - (query.conj() * mean).real).clamp_min(0) + pull
        turn = (product - query.conj() * centre + pull) / variance.clamp_min(1e-6)
        return centre + turn * (self.query - mean), total


def sizes_of(query: Tensor) -> Tensor:
    """1 + i|q|^2 of complex positions."""
    return torch.complex(torch.ones_like(query.real), query.real.square() + query.imag.square())


def moments(query: Tensor, sizes: Tensor, xy: Tensor) -> Tensor:
    """What a similarity's fit sums over the sources: (B, S) complex each -> (B, 4, S):
    1 + i|q|^2, q, p, conj(q) p."""
    return torch.stack([sizes, query, xy, query.conj() * xy], 1)


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
    shape = xy.shape
    # Complex numbers are float32 twice: neither autocast nor bfloat16 has any.
    q = torch.view_as_complex((query - origin).float().contiguous())
    p = torch.view_as_complex((xy - origin[:, None]).float().contiguous())
    h = torch.view_as_complex((held - origin).float().contiguous())
    sizes = sizes_of(q)
    upper, lower = closeness.to(q.dtype).chunk(2, 1)
    predictions, totals = [], []
    for t in range(shape[1]):
        now, sure = p[:, t], weights[:, t]
        fit = Fit(q, sizes, moments(q, sizes, h) @ lower, now, upper)
        predicted, _ = fit.predict(sure)
        away = torch.view_as_real(predicted - now).square().sum(-1)
        predicted, total = fit.predict(sure / (1 + away / (HALF_AT * HALF_AT)))
        h = predicted + sure * (now - predicted)
        predictions.append(predicted)
        totals.append(total)
    found = torch.view_as_real(torch.stack(predictions, 1)) + origin[:, None]
    return found, torch.stack(totals, 1), torch.view_as_real(h) + origin
