"""Predict each point from the motion of the others: robust moving least squares with memory.

A hidden point still belongs to a face whose other points are visible. For each point a similarity
(rotation, scale, translation) is fitted to the motion of the points near it, weighted by their
confidence, with outliers weighted down (Schaefer et al., "Image deformation using moving least
squares", SIGGRAPH 2006). Where nothing is visible, the points stay at their last positions: the
positions held from the frame before take part with a small weight.

This takes a few products of N x N matrices per frame, in sequence. On a CPU, NumPy needs less than
half of PyTorch's time per call. On a GPU it is computed there, because each transfer takes longer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

NEIGHBOURHOOD_SPREADS = 0.5
"""Standard deviation of the neighbourhood, as a share of the points' own spread."""
HELD_WEIGHT = 0.1
"""Weight of all held positions together, compared with 1 for a point that is certainly visible."""
HALF_WEIGHT_PX = 3.0
"""Pixels of disagreement with its neighbours at which a point's weight is halved."""
IDENTITY_PRIOR = 4.0
"""Square pixels by which the fit is drawn towards no rotation and no change of scale: a single
neighbour must not determine either."""
SINGLE_THREADED = 1 << 18
"""Multiplications up to which NumPy's BLAS computes a product in the calling thread. For larger
products it starts threads that then busy-wait on the network's cores: with 256 points and more, a
frame took twice as long."""


def neighbour_weights(query: Tensor) -> Tensor:
    """Weigh the closeness of points in the query frame.

    The weights are Gaussian, relative to the spread of the points, so they do not depend on the
    size of the face. A small floor lets far points count where all near ones are hidden.

    Args:
        query: (B, N, 2).

    Returns:
        (B, 2N, N). The upper half is for the points' present positions, with 0 on the diagonal; the
        lower half for held positions, times HELD_WEIGHT / N.
    """
    points = query.shape[1]
    spread = (query - query.mean(1, keepdim=True)).square().sum(-1).mean(-1).clamp_min(1.0)
    distance = (query[:, :, None] - query[:, None]).square().sum(-1)
    weights = torch.exp(-distance / (2 * NEIGHBOURHOOD_SPREADS**2 * spread[:, None, None])) + 1e-2
    neighbours = weights * (1 - torch.eye(points, device=query.device))
    return torch.cat([neighbours, weights * (HELD_WEIGHT / points)], 1)


class SimilarityFit(NamedTuple):
    """One weighted similarity per point, for one frame.

    Positions are complex numbers x + iy. A similarity's rotation and scale is then a complex number
    too, and the sums over all sources of all points are one matrix product.

    Attributes:
        query: (B, N) complex64 positions in the query frame.
        moments: (B, N, 4) of the present estimates.
        held_sums: (B, N, 4) summed moments of the held positions, which have equal weights.
        closeness: (B, N, N) float32, as in `neighbour_weights`, upper half.
    """

    query: np.ndarray
    moments: np.ndarray
    held_sums: np.ndarray
    closeness: np.ndarray

    def predict(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict every point from the motion of the others.

        Args:
            weights: (B, N) of the estimates.

        Returns:
            (B, N) predicted positions, and (B, N) the summed weight that each rests on.
        """
        sums = sum_moments(self.closeness, self.moments * weights[..., None]) + self.held_sums
        sizes, query, now, product = np.moveaxis(sums, -1, 0)
        total, squares = sizes.real, sizes.imag
        rest = np.maximum(total, np.float32(1e-6))
        mean, centre, back = query / rest, now / rest, query.conj()
        prior = np.float32(IDENTITY_PRIOR) * total
        variance = np.maximum(squares - (back * mean).real, 0) + prior
        turn = (product - back * centre + prior) / np.maximum(variance, np.float32(1e-6))
        return centre + turn * (self.query - mean), total


def moments_of(query: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return the terms that the fit of a similarity sums over its sources.

    Args:
        query: (B, S) complex positions q in the query frame.
        xy: (..., S) complex positions p now.

    Returns:
        (..., S, 4): 1 + i|q|^2, q, p, conj(q) p.
    """
    sizes = 1 + 1j * (query * query.conj()).real
    parts = np.broadcast_arrays(sizes, query, xy, query.conj() * xy)
    return np.stack(parts, -1).astype(np.complex64, copy=False)


def sum_moments(closeness: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Sum moments (B, S, 4) over their sources, weighted by closeness (B, S, N) -> (B, N, 4)."""
    # As pairs of real numbers: closeness has no imaginary part to multiply.
    numbers = moments.view(np.float32)
    rows = max(1, SINGLE_THREADED // numbers[0].size)
    weights = closeness.swapaxes(-1, -2)
    sums = [weights[:, i : i + rows] @ numbers for i in range(0, weights.shape[1], rows)]
    return (sums[0] if len(sums) == 1 else np.concatenate(sums, 1)).view(np.complex64)


@torch.no_grad()
def predict_from_neighbours(
    query: Tensor, xy: Tensor, weights: Tensor, closeness: Tensor, held: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Predict each point from the motion of its neighbours, frame after frame, without gradients.

    Args:
        query: (B, N, 2) positions in the query frame, pixels.
        xy: (B, T, N, 2) present estimates, pixels.
        weights: (B, T, N) confidence of the estimates in [0, 1].
        closeness: (B, 2N, N) from `neighbour_weights`.
        held: (B, N, 2) positions held from the frame before the first.

    Returns:
        (B, T, N, 2) predicted positions, (B, T, N) the summed weight that each rests on, and
        (B, N, 2) the positions held from the last frame: a mean of estimate and prediction,
        weighted by the estimate's confidence.
    """
    if query.device.type != "cpu":
        with torch.autocast(query.device.type, enabled=False):
            return _predict_on_device(query, xy, weights, closeness, held)
    origin = query.mean(1, keepdim=True)  # moments about a distant origin would lose digits
    q, p, h = (_complex(v) for v in (query - origin, xy - origin[:, None], held - origin))
    confidence = weights.float().numpy()
    upper, lower = np.split(closeness.numpy(), 2, axis=1)
    moments, now = moments_of(q[:, None], p), np.moveaxis(p, 1, 0)
    predictions, totals = np.empty_like(p), np.empty_like(confidence)
    with np.errstate(all="ignore"):  # estimates may have diverged
        for t, estimate in enumerate(now):
            fit = SimilarityFit(q, moments[:, t], sum_moments(lower, moments_of(q, h)), upper)
            predicted, _ = fit.predict(confidence[:, t])
            distance = np.abs(predicted - estimate) / np.float32(HALF_WEIGHT_PX)
            predicted, totals[:, t] = fit.predict(confidence[:, t] / (1 + distance * distance))
            predictions[:, t] = predicted
            h = predicted + confidence[:, t] * (estimate - predicted)
    predicted_xy = _positions(predictions) + origin[:, None]
    return predicted_xy, torch.from_numpy(totals), _positions(h) + origin


def _complex(xy: Tensor) -> np.ndarray:
    """Convert positions (..., 2) to complex64 numbers (...)."""
    return xy.float().contiguous().numpy().view(np.complex64)[..., 0]


def _positions(xy: np.ndarray) -> Tensor:
    """Convert complex numbers (...) to positions (..., 2)."""
    numbers = np.ascontiguousarray(xy, np.complex64)[..., None].view(np.float32)
    return torch.from_numpy(numbers)


# ---------------------------------------------------------------- on a device other than a CPU


def _predict_on_device(
    query: Tensor, xy: Tensor, weights: Tensor, closeness: Tensor, held: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As `predict_from_neighbours`; every operation has the same shape in every frame."""
    origin = query.mean(1, keepdim=True)
    places = (query - origin, xy - origin[:, None], held - origin)
    q, p, h = (torch.view_as_complex(place.float().contiguous()) for place in places)
    confidence = weights.float()
    upper, lower = closeness.transpose(1, 2).split(query.shape[1], 2)
    predictions, totals = [], []
    for t in range(xy.shape[1]):
        estimate, certainty = p[:, t], confidence[:, t]
        moments, held_sums = _moments(q, estimate), _sum(lower, _moments(q, h))
        predicted, _ = _predict(q, _sum(upper, moments * certainty[..., None]) + held_sums)
        distance = (predicted - estimate).abs() / HALF_WEIGHT_PX
        trusted = certainty / (1 + distance * distance)
        predicted, total = _predict(q, _sum(upper, moments * trusted[..., None]) + held_sums)
        h = predicted + certainty * (estimate - predicted)
        predictions.append(predicted)
        totals.append(total)
    predicted_xy = torch.view_as_real(torch.stack(predictions, 1)) + origin[:, None]
    return predicted_xy, torch.stack(totals, 1), torch.view_as_real(h) + origin


def _moments(query: Tensor, xy: Tensor) -> Tensor:
    """Return `moments_of` as real numbers (B, S, 8)."""
    back = query.conj()
    sizes = torch.complex(torch.ones_like(query.real), (query * back).real)
    return torch.view_as_real(torch.stack([sizes, query, xy, back * xy], -1)).flatten(2)


def _sum(closeness: Tensor, moments: Tensor) -> Tensor:
    """Sum moments (B, S, 8) over their sources, weighted by closeness (B, N, S) -> (B, N, 8)."""
    return closeness @ moments


def _predict(query: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """Return `SimilarityFit.predict` of summed moments (B, N, 8)."""
    sizes, q, now, product = torch.view_as_complex(sums.unflatten(2, (4, 2))).unbind(2)
    total, squares = sizes.real, sizes.imag
    rest = total.clamp_min(1e-6)
    mean, centre, back = q / rest, now / rest, q.conj()
    prior = IDENTITY_PRIOR * total
    variance = (squares - (back * mean).real).clamp_min(0) + prior
    turn = (product - back * centre + prior) / variance.clamp_min(1e-6)
    return centre + turn * (query - mean), total
