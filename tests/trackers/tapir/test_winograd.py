"""Winograd's convolution against the direct one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facetrack.runtime import onednn
from facetrack.trackers.tapir import TapirConfig, winograd
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.winograd import WinogradConv, use_winograd

pytestmark = pytest.mark.skipif(
    not onednn.available(), reason="this build of PyTorch has no oneDNN products"
)


@pytest.fixture(scope="module", autouse=True)
def _few_tiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "MIN_TILES", 0)
        yield


@torch.inference_mode()
@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 13),
    st.integers(1, 13),
    st.booleans(),
    st.sampled_from([1, 3, 8, 128]),
)
def test_result_equals_the_direct_convolution_at_any_size(count, height, width, bias, batch):
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, padding=1, bias=bias)
    x = torch.randn(count, 5, height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "TILE_BATCH", batch)
        torch.testing.assert_close(WinogradConv(conv)(x), conv(x), atol=2e-5, rtol=0)


@torch.inference_mode()
def test_few_cells_are_convolved_directly(monkeypatch):
    monkeypatch.setattr(winograd, "MIN_TILES", 5)
    conv = nn.Conv2d(5, 7, 3, padding=1)
    fast = WinogradConv(conv)
    monkeypatch.setattr(fast, "product", None)
    x = torch.randn(2, 5, 8, 4)
    torch.testing.assert_close(fast(x), conv(x), atol=0, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": 0},
        {"dilation": 2},
        {"groups": 2},
        {"kernel_size": 5},
        {"in_channels": 255},
    ],
)
def test_unsuitable_convolutions_are_not_replaced(options):
    fitting = {"in_channels": 256, "out_channels": 256, "kernel_size": 3, "padding": 1}
    assert WinogradConv.fits(nn.Conv2d(**fitting))
    assert not WinogradConv.fits(nn.Conv2d(**{**fitting, **options}))


@torch.inference_mode()
def test_a_published_network_keeps_its_features():
    torch.manual_seed(0)
    network = build_network(TapirConfig(extra_conv_blocks=1)).eval()
    frame = torch.rand(1, 3, 72, 104).contiguous(memory_format=torch.channels_last) * 2 - 1
    wanted = network.extract_features(frame)
    use_winograd(network)
    assert sum(isinstance(m, WinogradConv) for m in network.modules()) == 9
    for got, true in zip(network.extract_features(frame), wanted, strict=True):
        torch.testing.assert_close(got, true, atol=2e-5, rtol=0)
