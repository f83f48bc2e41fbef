"""Sampling and matching against brute force."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.trackers.tapir import matching
from facetrack.trackers.tapir.matching import (
    cost_volume,
    expected_offset,
    patches_from_features,
    patches_from_maps,
    soft_argmax,
    trilinear,
    upsample,
)

coordinate = st.floats(-5, 25, allow_nan=False, width=32)


def _grid_sample(maps, xy, padding):
    size = torch.tensor([maps.shape[2], maps.shape[1]])
    grid = (xy / size * 2 - 1)[:, None]
    out = F.grid_sample(maps[:, None], grid, padding_mode=padding, align_corners=False)
    return out[:, 0, 0]


@settings(max_examples=50)
@given(coordinate, coordinate)
def test_patches_are_bilinear_and_zero_outside(x, y):
    torch.manual_seed(0)
    maps = torch.randn(1, 11, 17)
    centre = torch.tensor([[x, y]])
    steps = torch.arange(-3, 4)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).flatten(0, 1)
    wanted = _grid_sample(maps, centre[:, None] + offsets, "zeros")
    torch.testing.assert_close(
        patches_from_maps(maps, centre, 7).flatten(1), wanted, atol=1e-4, rtol=0
    )


@settings(max_examples=30)
@given(coordinate, coordinate)
def test_patches_from_features_are_those_of_the_cost_volume(x, y):
    torch.manual_seed(0)
    features, queries = torch.randn(2, 9, 13, 5), torch.randn(2, 3, 5)
    xy = torch.tensor([x, y]) + torch.randn(2, 3, 2)
    cost = torch.einsum("fnc,fhwc->fnhw", queries, features)
    wanted = patches_from_maps(cost.flatten(0, 1), xy.flatten(0, 1), 7).view(2, 3, 7, 7)
    got = patches_from_features(features, queries, xy, 7)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


def test_positions_far_outside_give_zeros():
    maps = torch.ones(2, 4, 4)
    assert patches_from_maps(maps, torch.tensor([[1e30, 0.0], [0.0, -1e30]]), 7).abs().sum() == 0


def test_cost_volume_is_all_dot_products():
    queries, maps = torch.randn(2, 3, 4), torch.randn(2, 5, 6, 7, 4)
    wanted = torch.einsum("bnc,bthwc->bnthw", queries, maps)
    torch.testing.assert_close(cost_volume(queries, maps), wanted)


def test_trilinear_at_an_integer_time_is_that_frame():
    maps = torch.randn(1, 4, 6, 9, 3)
    txy = torch.tensor([[[2.0, 3.7, 2.2]]])
    flat = maps[0, 2].permute(2, 0, 1)
    wanted = _grid_sample(flat, torch.tensor([[3.7, 2.2]]).expand(3, 1, 2), "border")
    torch.testing.assert_close(trilinear(maps, txy)[0, 0], wanted[:, 0])


def test_trilinear_between_frames_is_their_mean():
    maps = torch.randn(1, 4, 6, 9, 3)

    def at(t):
        return trilinear(maps, torch.tensor([[[t, 4.0, 3.0]]]))

    torch.testing.assert_close(at(1.5), (at(1.0) + at(2.0)) / 2)


def test_soft_argmax_ignores_a_distant_second_peak():
    logits = torch.full((32, 32), -50.0)
    logits[10, 20], logits[30, 2] = 5.0, 4.9
    torch.testing.assert_close(soft_argmax(logits), torch.tensor([20.5, 10.5]))


def test_soft_argmax_blends_neighbours():
    logits = torch.full((32, 32), -50.0)
    logits[10, 20], logits[10, 21] = 5.0, 5.0
    torch.testing.assert_close(soft_argmax(logits), torch.tensor([21.0, 10.5]))


@settings(max_examples=20)
@given(coordinate, coordinate)
def test_features_can_be_normalised_while_sampling(x, y):
    torch.manual_seed(0)
    features, queries = 3 * torch.randn(2, 9, 13, 5), torch.randn(2, 3, 5)
    xy = torch.tensor([x, y]) + torch.randn(2, 3, 2)
    wanted = patches_from_features(F.normalize(features, dim=-1), queries, xy, 7)
    got = patches_from_features(features, queries, xy, 7, normalise=True)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_gathering_in_small_batches_gives_the_same_patches(monkeypatch):
    torch.manual_seed(0)
    features, queries = torch.randn(2, 9, 13, 5), torch.randn(2, 3, 5)
    xy = 10 * torch.rand(2, 3, 2)
    wanted = patches_from_features(features, queries, xy, 7)
    monkeypatch.setitem(matching.GATHER_LIMIT, "cpu", 1)
    torch.testing.assert_close(patches_from_features(features, queries, xy, 7), wanted)


def test_expected_offset_is_the_centre_of_mass():
    weights = torch.zeros(2, 49)
    weights[0, 24] = 1  # the centre
    weights[1, [0, 6]] = 0.5  # both upper corners
    wanted = torch.tensor([[0.0, 0.0], [0.0, -3.0]])
    torch.testing.assert_close(expected_offset(weights, 7), wanted)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_upsampling_agrees_with_torch(height, width, new_height, new_width):
    maps = torch.randn(2, 3, height, width)
    wanted = F.interpolate(maps, (new_height, new_width), mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(maps, new_height, new_width), wanted, atol=1e-5, rtol=0)
