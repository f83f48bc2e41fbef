"""Losses of known estimates."""

from __future__ import annotations

import pytest
import torch

from facetrack.trackers.tapir.types import Estimate, Match
from facetrack.training.losses import local_matching_loss, matching_loss, tracking_loss

SHAPE = (1, 6, 5)


def _loss(offset=0.0, occlusion=-20.0, expected=-20.0, visible=True, valid=True):
    torch.manual_seed(0)
    truth = 100 + 20 * torch.randn(*SHAPE, 2)
    shift = torch.as_tensor(offset, dtype=torch.float32).expand(*SHAPE)
    xy = truth + torch.stack([shift, torch.zeros(SHAPE)], -1)
    estimate = Estimate(xy, torch.full(SHAPE, occlusion), torch.full(SHAPE, expected))
    match = Match(estimate, None, (), ())
    mask = torch.full(SHAPE, visible), torch.full(SHAPE, valid)
    return tracking_loss(match, [estimate], truth, *mask)


def test_a_perfect_estimate_costs_nothing():
    total, _ = _loss()
    assert float(total) == pytest.approx(0, abs=1e-4)


def test_a_constant_error_is_no_jitter():
    _, parts = _loss(3.0)
    assert parts["position"] == pytest.approx(2.8, abs=0.05)
    assert parts["jitter"] == pytest.approx(0, abs=1e-4)


def test_an_alternating_error_is_jitter():
    _, parts = _loss(torch.tensor([1.0, -1, 1, -1, 1]))
    assert parts["jitter"] == pytest.approx(1.9, abs=0.05)


def test_expected_distance_asks_whether_the_error_is_over_six_pixels():
    assert _loss(5.0, expected=-20.0)[1]["expected"] < 0.01
    assert _loss(7.0, expected=-20.0)[1]["expected"] > 10
    assert _loss(7.0, expected=20.0)[1]["expected"] < 0.01


def test_occlusion_is_a_cross_entropy():
    assert _loss(occlusion=20.0)[1]["occlusion"] > 10
    assert _loss(occlusion=20.0, visible=False)[1]["occlusion"] < 0.01


def test_unknown_points_do_not_count():
    total, _ = _loss(50.0, occlusion=20.0, valid=False)
    assert float(total) == 0


def test_matching_loss_is_least_at_the_true_place():
    xy = torch.tensor([[[[70.0, 90.0]]]])  # cell (8.75, 11.25) of 32
    weight = torch.ones(1, 1, 1)
    rows, columns = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")

    def at(x, y):
        scores = -((rows - y) ** 2 + (columns - x) ** 2)
        return float(matching_loss([scores.view(1, 1, 1, 32, 32)], xy, weight))

    assert at(8.75, 11.25) < min(at(9.75, 11.25), at(7.75, 11.25), at(8.75, 12.25), at(8.75, 10.25))


def test_local_matching_loss_is_least_where_the_patch_has_the_truth():
    steps = torch.arange(7) - 3.0
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    offset, weight = torch.tensor([[[[1.25, -0.5]]]]), torch.ones(1, 1, 1)

    def at(x, y):
        scores = -((rows - y) ** 2 + (columns - x) ** 2)
        return float(local_matching_loss(scores.reshape(1, 1, 1, 49), offset, weight))

    near = [at(1.25 + dx, -0.5 + dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert at(1.25, -0.5) < min(near)
