"""Winograd's convolution against the direct one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facetrack.trackers.tapir import TapirConfig, winograd
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.winograd import WinogradConv, with_winograd


@torch.inference_mode()
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.booleans())
def test_it_is_the_direct_convolution_at_any_size(count, height, width, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, padding=1, bias=bias)
    x = torch.randn(count, 5, height, width)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=2e-5, rtol=0)


@torch.inference_mode()
def test_many_frames_are_carried_in_parts(monkeypatch):
    monkeypatch.setattr(winograd, "AT_ONCE", 1)
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, padding=1)
    x = torch.randn(3, 5, 8, 12)
    torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": 0},
        {"dilation": 2},
        {"groups": 2},
        {"kernel_size": 5},
        {"in_channels": 63},
    ],
)
def test_other_convolutions_stay(options):
    fitting = {"in_channels": 64, "out_channels": 64, "kernel_size": 3, "padding": 1}
    assert WinogradConv.fits(nn.Conv2d(**fitting))
    assert not WinogradConv.fits(nn.Conv2d(**{**fitting, **options}))


@torch.inference_mode()
def test_a_published_network_keeps_its_features():
    torch.manual_seed(0)
    network = TapirNetwork(TapirConfig(extra_conv_blocks=1)).eval()
    frame = torch.rand(1, 3, 72, 104).contiguous(memory_format=torch.channels_last) * 2 - 1
    wanted = network.features(frame)
    with_winograd(network)
    assert sum(isinstance(m, WinogradConv) for m in network.modules()) == 16
    for got, true in zip(network.features(frame), wanted, strict=True):
        torch.testing.assert_close(got, true, atol=2e-5, rtol=0)
