"""Run matrix products and convolutions on a CPU through oneDNN, for inference.

PyTorch hands float32 matrix products to MKL. On processors other than Intel's, MKL uses
instructions of half the available width: 0.09 TFLOP/s per core of an AMD EPYC with AVX-512, where
oneDNN reaches 0.21. PyTorch hands convolutions to oneDNN, but reorders their weights in every call,
which for one face takes as long as a layer of many channels itself. On one thread, 1 x 1
convolutions go to MKL, too. PyTorch has oneDNN operators for weights that are already reordered;
its compiler emits them for CPUs, but they work without it. Where a build lacks them, PyTorch's own
operators are used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@functools.cache
def available() -> bool:
    """Return True if this build of PyTorch has the operators."""
    names = (
        "_linear_pointwise",
        "_convolution_pointwise",
        "_reorder_linear_weight",
        "_reorder_convolution_weight",
        "_is_mkldnn_bf16_supported",
    )
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )


def is_supported(*matrices: Tensor) -> bool:
    """Return True if oneDNN can multiply these: float32 on a CPU, without gradients."""
    if torch.is_grad_enabled() and any(m.requires_grad for m in matrices):
        return False
    return available() and all(
        m.device.type == "cpu" and m.dtype == torch.float32 for m in matrices
    )


def matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b.T (M, N) for a (M, K) and b (N, K)."""
    if is_supported(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.T


class PackedLinear(nn.Module):
    """A linear layer in float32 or bfloat16 with reordered weights: (..., K) -> (..., N).

    It can apply GELU in the same pass (`fused_linear_gelu`). The original weights keep their
    parameter names, for saving. The product uses a reordered copy, so later changes to the weights
    have no effect.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        # This order does not depend on the number of rows.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        x = x if x.dtype == self.weight.dtype else x.to(self.weight.dtype)
        kind, algorithm = ("gelu", "tanh") if gelu else ("none", "")
        linear = torch.ops.mkldnn._linear_pointwise
        out: Tensor = linear(x, self.packed, self.bias, kind, [], algorithm)
        return out


def fused_linear_gelu(linear: nn.Module, x: Tensor, gelu: Callable[[Tensor], Tensor]) -> Tensor:
    """Return gelu(linear(x)), GELU in the tanh approximation.

    A `PackedLinear` does both in one pass over memory. All else applies `gelu`.
    """
    if isinstance(linear, PackedLinear):
        return linear(x, gelu=True)
    return gelu(linear(x))


class PackedConv2d(nn.Module):
    """A convolution in float32 or bfloat16 with reordered weights: (M, C, H, W) -> (M, O, h, w).

    It can add a residual and apply ReLU in the same pass (`fused_conv`). The weights keep their
    parameter names, as in `PackedLinear`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._geometry = conv.padding, conv.stride, conv.dilation, conv.groups
        self._packed: Tensor | None = None

    def forward(self, x: Tensor, relu: bool = False, residual: Tensor | None = None) -> Tensor:
        x = x.to(self.weight.dtype)
        if self._packed is None:  # in the order that suits images of this size
            weight = self.weight.detach()
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self._packed = pack(weight, *self._geometry, tuple(x.shape))
        convolve = torch.ops.mkldnn._convolution_pointwise
        arguments = self._packed, self.bias, *self._geometry
        if residual is None:
            return convolve(x, *arguments, "relu" if relu else "none", [], "")
        activation = "relu" if relu else None
        return convolve.binary(x, residual.to(x.dtype), *arguments, "add", 1.0, activation, [], "")


def fused_conv(
    conv: nn.Module, x: Tensor, relu: bool = False, residual: Tensor | None = None
) -> Tensor:
    """Return conv(x), plus `residual` if given, then ReLU if `relu`.

    A `PackedConv2d` does all three in one pass over memory.
    """
    if isinstance(conv, PackedConv2d):
        return conv(x, relu, residual)
    y: Tensor = conv(x)
    y = y if residual is None else y + residual
    return F.relu(y) if relu else y


class GroupedMatmul:
    """G matrix products at once: (M, G, K) with matrices (G, K, N) -> (M, G, N), float32.

    Computed as a 1 x 1 convolution with G groups, which in oneDNN is as fast as one large product.

    Args:
        matrices: (G, K, N) float32.
        rows: a typical M, for which the memory layout is chosen.
    """

    def __init__(self, matrices: Tensor, rows: int) -> None:
        self.groups, self.inputs, self.outputs = matrices.shape
        kernels = matrices.transpose(1, 2).reshape(-1, self.inputs, 1, 1).contiguous()
        size = (1, self.groups * self.inputs, rows, 1)
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(
            kernels, (0, 0), (1, 1), (1, 1), self.groups, size
        )

    def __call__(self, x: Tensor) -> Tensor:
        rows = len(x)
        image = x.reshape(1, rows, 1, -1).permute(0, 3, 1, 2)
        out = torch.ops.mkldnn._convolution_pointwise(
            image, self.packed, None, (0, 0), (1, 1), (1, 1), self.groups, "none", [], ""
        )
        return out.permute(0, 2, 3, 1).reshape(rows, self.groups, self.outputs)


def pack(network: nn.Module) -> None:
    """Replace layers of `network` by `PackedLinear` and `PackedConv2d` where faster, in place.

    The network is for inference only from then on.
    """
    if not available():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if packed := _packed(child):
                setattr(module, name, packed)


def _packed(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.Linear):
        return PackedLinear(layer) if _is_fast(layer.weight) else None
    # A subclass may compute something else.
    if type(layer) is not nn.Conv2d or not _is_fast(layer.weight):
        return None
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    return PackedConv2d(layer)


def _is_fast(weight: Tensor) -> bool:
    """Return True for weights on a CPU in a type that it multiplies fast."""
    if weight.dtype == torch.bfloat16:
        is_fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else:
        is_fast = weight.dtype == torch.float32
    return is_fast and weight.device.type == "cpu"
