"""Run a network on batches of a few sizes, so that a CPU compiles few kernels for it.

oneDNN compiles a kernel for each layer and size of a batch, which takes a millisecond or so, and
keeps the kernels used last. A network that looks at as many points or patches as there happen to be
would need a new set with nearly every call, drive the kernels of all other networks out, and fill
the memory with those that it has had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIZES = (16, 32, 48, 64, 96, 128)
"""Rows of a batch. The rows that fill one up cost a quarter of the time on average where there are
few, and an eighth where there are many."""


def split_rows(count: int) -> Iterator[tuple[slice, int]]:
    """Yield batches of `count` rows: which rows, and to which of SIZES they are filled up."""
    for start in range(0, count, SIZES[-1]):
        rows = min(SIZES[-1], count - start)
        yield slice(start, start + rows), next(size for size in SIZES if size >= rows)


def run_in_batches(run: Callable[..., Sequence[Tensor]], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of `run` for all rows of its inputs.

    Args:
        run: computes outputs (R, ...) of inputs (R, ...), each row by itself.
        inputs: (M, ...) each; M is at least 1.

    Returns:
        (M, ...) each.
    """
    parts = []
    for rows, size in split_rows(len(inputs[0])):
        missing = size - (rows.stop - rows.start)
        filled = [_fill(x[rows], missing) for x in inputs]
        parts.append([y[: size - missing] for y in run(*filled)])
    return tuple(torch.cat(kind) if len(kind) > 1 else kind[0] for kind in zip(*parts, strict=True))


def _fill(x: Tensor, missing: int) -> Tensor:
    """Append rows of zeros."""
    return F.pad(x, (0, 0) * (x.dim() - 1) + (0, missing)) if missing else x
