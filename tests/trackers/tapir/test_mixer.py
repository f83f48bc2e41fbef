"""The convolutions over time, in blocks of channels and in the order of the official code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from facetrack.trackers.tapir import mixer
from facetrack.trackers.tapir.mixer import TimeConv, gelu, in_blocks, interleaved


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_reordering_of_channels_is_invertible(parts, axis):
    official = torch.arange(2 * 12 * 12).view(12, 12, 2)
    there = in_blocks(official, axis, parts)
    torch.testing.assert_close(interleaved(there, axis, parts), official, atol=0, rtol=0)


def test_part_j_of_channel_c_is_in_block_j():
    official = torch.tensor([10, 11, 20, 21, 30, 31])  # tens: the channel; ones: the part
    assert in_blocks(official, 0, 2).tolist() == [10, 20, 30, 11, 21, 31]


def test_exact_gelu_in_bfloat16_is_within_rounding():
    x = torch.linspace(-8, 8, 4001).bfloat16()
    exact, official = F.gelu(x.float()), F.gelu(x.float(), approximate="tanh")
    rounding = official.abs() * 2**-8 + 6e-4
    assert ((gelu(x).float() - official).abs() <= rounding).all()
    torch.testing.assert_close(gelu(x.float()), official, atol=0, rtol=0)
    assert not torch.equal(exact, official)


@torch.inference_mode()
def test_gelu_in_batches_equals_gelu_with_gradients(monkeypatch):
    monkeypatch.setattr(mixer, "GELU_BATCH", 100)
    x = torch.linspace(-12, 12, 1001)[:-1].view(10, 20, 5).transpose(1, 2)
    got = gelu(x)
    assert got.shape == x.shape
    torch.testing.assert_close(got, F.gelu(x, approximate="tanh"), atol=2e-6, rtol=0)


@pytest.mark.parametrize("multiplier", [1, 4])
def test_time_conv_is_a_grouped_convolution_over_time(multiplier):
    torch.manual_seed(0)
    layer = TimeConv(6, multiplier, multiplier)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 7, 6)
    wanted = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, groups=6).transpose(1, 2)
    torch.testing.assert_close(interleaved(layer(x), 2, multiplier), wanted, atol=1e-6, rtol=1e-5)


def test_expanded_channels_keep_their_own_weights():
    torch.manual_seed(0)
    layer = TimeConv(8, 1, 4)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 7, 8)
    wanted = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, groups=8).transpose(1, 2)
    got = interleaved(layer(in_blocks(x, 2, 4)), 2, 4)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_points_attend_within_their_frame_and_group():
    torch.manual_seed(0)
    groups, points, frames, width = 2, 5, 3, 8
    attention = mixer._Attention(width, 2)
    torch.nn.init.normal_(attention.out.weight)
    x = torch.randn(groups * points, frames, width)
    together = attention(x, points)
    for g in range(groups):
        rows = slice(g * points, (g + 1) * points)
        for t in range(frames):
            alone = attention(x[rows, t : t + 1], points)
            torch.testing.assert_close(together[rows, t : t + 1], alone, atol=1e-5, rtol=0)
    assert (together - x).abs().max() > 0.1
