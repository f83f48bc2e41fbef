"""Products of float32 matrices on a CPU through oneDNN.

PyTorch hands them to MKL, which on processors that are not Intel's takes instructions half as
wide as they have: 0.09 TFLOP/s a core of an AMD EPYC with AVX-512, where oneDNN, which computes
PyTorch's convolutions, does 0.21. PyTorch has oneDNN's products, too, as the operators that its
compiler emits for CPUs, and they need no compiler. Where a build lacks them, nothing here is used.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn


@functools.cache
def available() -> bool:
    """Whether this build of PyTorch has the operators."""
    products = ("_linear_pointwise", "_convolution_pointwise")
    names = (*products, "_reorder_linear_weight", "_reorder_convolution_weight")
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
    """What a linear layer in float32 computes, for inference on a CPU: (..., K) -> (..., N).

    Its weights stay as they are, to be saved under their names; a copy of them is multiplied, so
    that to change them changes nothing.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        # In the order in which it is multiplied, whatever the number of rows.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(0, -2)
        out = torch.ops.mkldnn._linear_pointwise(flat, self.packed, self.bias, "none", [], "")
        return out.unflatten(0, x.shape[:-1])


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


def pack_linears(network: nn.Module) -> None:
    """Let `network` compute its linear layers so where they are in float32; in place."""
    if not available():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and suits(child.weight.detach()):
                setattr(module, name, Linear(child))
