"""Move arrays to a device and back, in as few transfers as possible.

A GPU and the processor wait for each other at every transfer, which takes longer than many small
operations. So a chunk of frames goes to the device in one transfer, and its results come back in
one. Small constants are sent once and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def upload(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Return arrays of one type as tensors on a device; on a CPU they share the arrays' memory.

    Args:
        arrays: of any shapes.
        device: where the tensors shall lie.
    """
    arrays = [np.ascontiguousarray(array) for array in arrays]
    if device.type == "cpu" or len(arrays) == 1:
        return [torch.from_numpy(array).to(device) for array in arrays]
    together = torch.from_numpy(np.concatenate([array.reshape(-1) for array in arrays]))
    parts = together.to(device).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


def download(*tensors: Tensor) -> list[np.ndarray]:
    """Return tensors as float32 arrays; on a CPU they may share the tensors' memory."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.float().numpy() for tensor in tensors]
    together = torch.cat([tensor.float().reshape(-1) for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])[:-1]
    parts = np.split(together, ends)
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return numbers as a tensor (len(values),) of the type and on the device of another.

    The tensor is shared: do not change it.
    """
    return _constant(values, like.dtype, like.device)


@functools.lru_cache(maxsize=256)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
