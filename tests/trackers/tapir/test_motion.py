"""Prediction of points from the motion of the others."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.trackers.tapir.motion import (
    IDENTITY_PRIOR,
    SINGLE_THREADED,
    SimilarityFit,
    moments_of,
    neighbour_weights,
    predict_from_neighbours,
    sum_moments,
)


def _points(count=40, seed=0):
    torch.manual_seed(seed)
    return 128 + 40 * torch.randn(1, count, 2)


def _move(xy, angle, scale, shift):
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return (xy - 128) @ torch.tensor([[c, s], [-s, c]]) + 128 + torch.tensor(shift)


@settings(max_examples=25)
@given(st.floats(-0.6, 0.6), st.floats(0.6, 1.6), st.floats(-50, 50), st.floats(-50, 50))
def test_hidden_points_move_with_a_rigid_face(angle, scale, dx, dy):
    query = _points()
    truth = _move(query, angle, scale, [dx, dy])
    estimate = truth.clone()
    estimate[:, :10] += 60  # estimates of hidden points are wrong
    weights = torch.ones(1, 1, 40)
    weights[..., :10] = 0
    predicted, _, _ = predict_from_neighbours(
        query, estimate[:, None], weights, neighbour_weights(query), query
    )
    error = (predicted[:, 0, :10] - truth[:, :10]).norm(dim=-1)
    # The prior of the fit and the held positions leave a small error.
    assert error.max() < 4 + 0.05 * math.hypot(dx, dy)


def test_confident_outliers_are_weighted_down():
    query = _points()
    truth = _move(query, 0.1, 1.1, [5.0, -3.0])
    estimate = truth.clone()
    estimate[:, 7] += 40
    predicted, _, _ = predict_from_neighbours(
        query, estimate[:, None], torch.ones(1, 1, 40), neighbour_weights(query), query
    )
    others = [i for i in range(40) if i != 7]
    assert (predicted[:, 0] - truth)[:, others].norm(dim=-1).max() < 6


def test_points_stay_in_place_while_none_is_visible():
    query = _points()
    truth = _move(query, 0.2, 0.9, [20.0, 10.0])
    estimate = torch.stack([truth, truth + 70, truth - 90], 1)
    weights = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1).expand(1, 3, 40)
    predicted, total, held = predict_from_neighbours(
        query, estimate, weights, neighbour_weights(query), query
    )
    assert (predicted[:, 2] - truth).norm(dim=-1).max() < 4
    assert (held - truth).norm(dim=-1).max() < 4
    assert total[:, 2].max() < 0.2


def test_chunk_sizes_do_not_change_the_result():
    query = _points()
    xy = query[:, None] + torch.randn(1, 6, 40, 2)
    weights = torch.rand(1, 6, 40)
    closeness = neighbour_weights(query)
    whole, _, last = predict_from_neighbours(query, xy, weights, closeness, query)
    first, _, held = predict_from_neighbours(query, xy[:, :2], weights[:, :2], closeness, query)
    second, _, end = predict_from_neighbours(query, xy[:, 2:], weights[:, 2:], closeness, held)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)


def test_a_single_point_stays_at_its_held_position():
    query = torch.tensor([[[10.0, 20.0]]])
    predicted, _, _ = predict_from_neighbours(
        query, query[:, None] + 5, torch.ones(1, 1, 1), neighbour_weights(query), query
    )
    torch.testing.assert_close(predicted[:, 0], query)


def test_each_point_follows_the_weighted_similarity_of_the_others():
    """Against the fit of one point at a time, by least squares."""
    query = _points(12)
    xy = _move(query, 0.3, 1.2, [9.0, -4.0]) + torch.randn(1, 12, 2)
    sure = torch.rand(1, 12)
    closeness = neighbour_weights(query)
    origin = query.mean(1)
    q, p = (torch.view_as_complex((v - origin).contiguous()).numpy() for v in (query, xy))
    upper, lower = (part.numpy() for part in closeness.chunk(2, 1))
    held = sum_moments(lower, moments_of(q, q))
    found, total = SimilarityFit(q, moments_of(q, p), held, upper).predict(sure.numpy())
    got = torch.view_as_real(torch.from_numpy(found)) + origin
    for i in range(12):
        weights = torch.cat([sure[0], torch.ones(12)]) * closeness[0, :, i]
        there = torch.cat([query[0], query[0]]) - origin
        here = torch.cat([xy[0], query[0]]) - origin
        mean_there = (weights[:, None] * there).sum(0) / weights.sum()
        mean_here = (weights[:, None] * here).sum(0) / weights.sum()
        a, b = there - mean_there, here - mean_here
        squares = (weights * a.square().sum(1)).sum() + IDENTITY_PRIOR * weights.sum()
        real = (weights * (a * b).sum(1)).sum() + IDENTITY_PRIOR * weights.sum()
        imaginary = (weights * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])).sum()
        turn = torch.tensor([[real, -imaginary], [imaginary, real]]) / squares
        wanted = mean_here + turn @ (query[0, i] - origin[0] - mean_there) + origin[0]
        torch.testing.assert_close(got[0, i], wanted, atol=1e-3, rtol=0)
        torch.testing.assert_close(torch.tensor(total[0, i]), weights.sum())


def test_sums_over_many_points_are_split_into_single_threaded_products():
    """Of a size at which there is more than one piece, the last one a smaller one."""
    random = np.random.default_rng(0)
    closeness = random.random((2, 300, 331), np.float32)
    moments = random.random((2, 300, 8), np.float32).view(np.complex64)
    assert SINGLE_THREADED < 331 * 300 * 8
    expected = np.einsum("bsn,bsc->bnc", closeness.astype(float), moments)
    np.testing.assert_allclose(sum_moments(closeness, moments), expected, rtol=1e-5)
