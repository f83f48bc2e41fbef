"""Generate network weights from parameter names, as used for the golden outputs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch


def listing(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Read key -> (shape, dtype) from a file of "key<TAB>shape<TAB>dtype" lines."""
    entries = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            key, shape, dtype = line.split("\t")
            numbers = shape.strip("()").split(",")
            entries[key] = (tuple(int(n) for n in numbers if n.strip()), dtype)
    return entries


def synthetic_state(
    like: Mapping[str, torch.Tensor] | Path,
    factors: Mapping[str, float] | None = None,
) -> dict[str, torch.Tensor]:
    """Generate the weights of the golden fixtures for every key of a state_dict or listing.

    Args:
        like: a module's state_dict, or the path of a listing.
        factors: key -> additional factor of its values.
    """
    if isinstance(like, Path):
        shapes = {k: (shape, "int" in dtype) for k, (shape, dtype) in listing(like).items()}
    else:
        shapes = {k: (tuple(v.shape), not v.is_floating_point()) for k, v in like.items()}
    state = {}
    for key, (shape, integer) in shapes.items():
        if integer:
            state[key] = torch.zeros(shape, dtype=torch.int64)
        else:
            array = _values(key, shape) * np.float32((factors or {}).get(key, 1))
            state[key] = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    return state


def _values(key: str, shape: tuple[int, ...]) -> np.ndarray:
    draw = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    array = np.asarray(draw, np.float32)
    tenth = np.float32(0.1)
    if key.endswith("running_var"):
        return 1 + tenth * np.abs(array)
    if key.endswith(".weight") and len(shape) > 1:
        return array / np.float32(np.sqrt(np.prod(shape[1:])))
    if key.endswith(".weight"):
        return 1 + tenth * array
    return tenth * array


def state_crc32(state: Mapping[str, torch.Tensor]) -> int:
    """Return the CRC-32 of the float tensors' little-endian bytes, as stored in the goldens."""
    crc = 0
    for value in state.values():
        if value.is_floating_point():
            crc = zlib.crc32(value.numpy().astype("<f4").tobytes(), crc)
    return crc
