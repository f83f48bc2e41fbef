"""Products and convolutions on a CPU through oneDNN, for inference.

PyTorch hands products of float32 matrices to MKL, which on processors that are not Intel's takes
instructions half as wide as they have: 0.09 TFLOP/s a core of an AMD EPYC with AVX-512, where
oneDNN does 0.21. Convolutions it does hand to oneDNN, but has their weights put into the order in
which they are multiplied at every call, which for one face takes as long as a layer of many
channels itself; and on one thread those of 1 x 1 go to MKL, too. PyTorch has oneDNN's operators on
weights that are in order, as its compiler emits them for CPUs, and they need no compiler. Where a
build lacks them, nothing here is used.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@functools.cache
def available() -> bool:
    """Whether this build of PyTorch has the operators."""
    products = ("_linear_pointwise", "_convolution_pointwise")
    orders = ("_reorder_linear_weight", "_reorder_convolution_weight")
    names = (*products, *orders, "_is_mkldnn_bf16_supported")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )


def suits(*matrices: Tensor) -> bool:
    """Whether oneDNN can take these: float32 on a CPU, and no gradient is wanted."""
    if torch.is_grad_enabled() and any(m.requires_grad for m in matrices):
        return False
    return available() and all(
        m.device.type == "cpu" and m.dtype == torch.float32 for m in matrices
    )


def rows_by_rows(a: Tensor, b: Tensor) -> Tensor:
    """Dot products of the rows of a (M, K) with those of b (N, K) -> (M, N), a @ b.T."""
    if suits(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.T


class Linear(nn.Module):
    """What a linear layer in float32 computes: (..., K) -> (..., N).

    The layer's weights stay under their names, to be saved; it is a copy that is multiplied, so
    that to change them changes nothing.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        # Whatever the number of rows.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(0, -2)
        out = torch.ops.mkldnn._linear_pointwise(flat, self.packed, self.bias, "none", [], "")
        return out.unflatten(0, x.shape[:-1])


class Conv(nn.Module):
    """What a convolution in float32 or bfloat16 computes: (M, C, H, W) -> (M, O, h, w); and what is
    done with it next, as `convolved` has it.

    The weights stay under their names, as with `Linear`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._how = conv.padding, conv.stride, conv.dilation, conv.groups
        self._packed: Tensor | None = None

    def forward(self, x: Tensor, rectified: bool = False, plus: Tensor | None = None) -> Tensor:
        x = x.to(self.weight.dtype)
        if self._packed is None:  # in an order that suits pictures of this size
            weight = self.weight.detach()
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self._packed = pack(weight, *self._how, tuple(x.shape))
        convolve = torch.ops.mkldnn._convolution_pointwise
        what = self._packed, self.bias, *self._how
        if plus is None:
            return convolve(x, *what, "relu" if rectified else "none", [], "")
        then = "relu" if rectified else None
        return convolve.binary(x, plus.to(x.dtype), *what, "add", 1.0, then, [], "")


def convolved(
    conv: nn.Module, x: Tensor, rectified: bool = False, plus: Tensor | None = None
) -> Tensor:
    """What `conv` computes of x, with `plus` added, and rectified then, or not: in one pass over
    memory where oneDNN computes it."""
    if isinstance(conv, Conv):
        return conv(x, rectified, plus)
    y: Tensor = conv(x)
    y = y if plus is None else y + plus
    return F.relu(y) if rectified else y


class GroupedProduct:
    """G products at once: (M, G, K) with matrices (G, K, N) -> (M, G, N), float32.

    As a convolution of 1 x 1 whose groups are the G, which oneDNN computes as fast as one large
    product.

    Args:
        rows: a typical M, for which the matrices are laid out.
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
    """Let `network` compute its linear layers and convolutions so, where that is faster; in place.

    It is for inference from then on.
    """
    if not available():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if packed := _packed(child):
                setattr(module, name, packed)


def _packed(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.Linear) and suits(layer.weight.detach()):
        return Linear(layer)
    # Of subclasses who knows what they do.
    if type(layer) is not nn.Conv2d or layer.weight.device.type != "cpu":
        return None
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    kind = layer.weight.dtype
    fast = kind == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return Conv(layer) if fast or kind == torch.float32 else None
