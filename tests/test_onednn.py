"""Products through oneDNN against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from facetrack import onednn

SIDES = st.integers(1, 40)
needs_onednn = pytest.mark.skipif(
    not onednn.available(), reason="this build of PyTorch has no oneDNN products"
)


@pytest.fixture
def lacking(monkeypatch):
    monkeypatch.setattr(onednn, "available", lambda: False)


@torch.inference_mode()
@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, SIDES)
def test_rows_by_rows_are_dot_products(rows, others, inner):
    torch.manual_seed(0)
    a, b = torch.randn(rows, inner), torch.randn(others, inner)
    torch.testing.assert_close(onednn.rows_by_rows(a, b), a @ b.T, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_need_not_lie_one_after_the_other():
    torch.manual_seed(0)
    a, b = torch.randn(12, 9).T, torch.randn(7, 24)[:, ::2]
    torch.testing.assert_close(onednn.rows_by_rows(a, b), a @ b.T, atol=1e-4, rtol=0)


def test_gradients_go_through_dot_products():
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    onednn.rows_by_rows(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(0).expand(3, -1))


@torch.inference_mode()
def test_without_the_operators_dot_products_are_the_same(lacking):
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    torch.testing.assert_close(onednn.rows_by_rows(a, b), a @ b.T)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (68,), (3, 8), (2, 1, 5)])
def test_a_linear_layer_keeps_its_answer(bias, shape):
    torch.manual_seed(0)
    linear = nn.Linear(19, 33, bias=bias)
    x = torch.randn(*shape, 19)
    torch.testing.assert_close(onednn.Linear(linear)(x), linear(x), atol=1e-5, rtol=0)


@needs_onednn
@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 7, 64, 200])
def test_grouped_products_are_products(rows):
    torch.manual_seed(0)
    x, matrices = torch.randn(rows, 5, 24), torch.randn(5, 24, 17)
    wanted = torch.einsum("mgk,gkn->mgn", x, matrices)
    got = onednn.GroupedProduct(matrices, 64)(x)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


@needs_onednn
def test_layers_in_float32_alone_are_packed():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).bfloat16(), nn.ReLU())
    onednn.pack_linears(network)
    assert [type(layer) for layer in network] == [onednn.Linear, nn.Linear, nn.ReLU]


def test_without_the_operators_layers_stay(lacking):
    network = nn.Sequential(nn.Linear(4, 4))
    onednn.pack_linears(network)
    assert isinstance(network[0], nn.Linear)
