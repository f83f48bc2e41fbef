"""Test oneDNN's products and convolutions against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facetrack.runtime import onednn

SIDES = st.integers(1, 40)
needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason="this build of PyTorch has no oneDNN products"
)


@pytest.fixture
def without_onednn(monkeypatch):
    monkeypatch.setattr(onednn, "available", lambda: False)


@torch.inference_mode()
@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, SIDES)
def test_matmul_transposed_equals_the_product(rows, columns, inner):
    torch.manual_seed(0)
    a, b = torch.randn(rows, inner), torch.randn(columns, inner)
    torch.testing.assert_close(onednn.matmul_transposed(a, b), a @ b.T, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_need_not_be_contiguous():
    torch.manual_seed(0)
    a, b = torch.randn(12, 9).T, torch.randn(7, 24)[:, ::2]
    torch.testing.assert_close(onednn.matmul_transposed(a, b), a @ b.T, atol=1e-4, rtol=0)


def test_gradients_flow_through_the_product():
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    onednn.matmul_transposed(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(0).expand(3, -1))


@torch.inference_mode()
def test_the_product_is_the_same_without_the_operators(without_onednn):
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    torch.testing.assert_close(onednn.matmul_transposed(a, b), a @ b.T)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (68,), (3, 8), (2, 1, 5)])
def test_packed_linear_equals_the_layer(bias, shape):
    torch.manual_seed(0)
    linear = nn.Linear(19, 33, bias=bias)
    x = torch.randn(*shape, 19)
    torch.testing.assert_close(onednn.PackedLinear(linear)(x), linear(x), atol=1e-5, rtol=0)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_follows_in_the_same_pass(packed, dtype):
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    torch.manual_seed(0)
    linear = nn.Linear(19, 33).to(dtype)
    x = torch.randn(2, 5, 19).to(dtype)
    wanted = F.gelu(linear(x), approximate="tanh")
    layer = onednn.PackedLinear(linear) if packed else linear
    got = onednn.fused_linear_gelu(layer, x, lambda y: F.gelu(y, approximate="tanh"))
    assert got.dtype == dtype
    torch.testing.assert_close(got, wanted, atol=1e-5 if dtype == torch.float32 else 0.01, rtol=0)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 7, 64, 200])
def test_grouped_matmul_equals_separate_products(rows):
    torch.manual_seed(0)
    x, matrices = torch.randn(rows, 5, 24), torch.randn(5, 24, 17)
    wanted = torch.einsum("mgk,gkn->mgn", x, matrices)
    got = onednn.GroupedMatmul(matrices, 64)(x)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"stride": 2, "padding": 1},
        {"padding": (0, 1), "kernel_size": (1, 3)},
        {"groups": 4},
        {"dilation": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_packed_conv2d_equals_the_layer_at_any_size(options, dtype):
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    torch.manual_seed(0)
    conv = nn.Conv2d(**{"in_channels": 8, "out_channels": 12, "kernel_size": 3, **options}).to(
        dtype
    )
    fast = onednn.PackedConv2d(conv)
    for shape in ((2, 8, 16, 16), (1, 8, 9, 30), (20, 8, 16, 16)):
        x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        wanted = conv(x.to(dtype))
        got = fast(x)
        assert (got.dtype, got.stride()) == (dtype, wanted.stride())
        torch.testing.assert_close(
            got, wanted, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=0
        )


@needs_onednn
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", [True, False])
def test_fused_conv_adds_the_residual_and_applies_relu(packed, relu, added):
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 12, 3, padding=1)
    conv = onednn.PackedConv2d(plain) if packed else plain
    with torch.no_grad():
        for size in (16, 9):
            x, residual = torch.randn(2, 8, size, size), torch.randn(2, 12, size, size)
            before = residual.clone()
            got = onednn.fused_conv(conv, x, relu, residual if added else None)
            wanted = plain(x) + residual if added else plain(x)
            wanted = wanted.relu() if relu else wanted
            torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
            assert torch.equal(residual, before)


@needs_onednn
def test_supported_layers_are_packed():
    class Special(nn.Conv2d):
        pass

    layers = [
        (nn.Linear(4, 4), onednn.PackedLinear),
        (nn.Linear(4, 4).double(), nn.Linear),
        (nn.Conv2d(4, 4, 3), onednn.PackedConv2d),
        (nn.Conv2d(4, 4, 3).double(), nn.Conv2d),
        (nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d),
        (nn.Conv2d(4, 4, 3, padding_mode="reflect"), nn.Conv2d),
        (Special(4, 4, 3), Special),
        (nn.ReLU(), nn.ReLU),
    ]
    network = nn.Sequential(*(layer for layer, _ in layers))
    before = set(network.state_dict())
    onednn.pack(network)
    assert [type(layer) for layer in network] == [cls for _, cls in layers]
    assert set(network.state_dict()) == before


def test_layers_stay_without_the_operators(without_onednn):
    network = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(4, 4, 3))
    onednn.pack(network)
    assert [type(layer) for layer in network] == [nn.Linear, nn.Conv2d]
