"""MTCNN's three networks in PyTorch, and a reader of the weights in the package `mtcnn`.

The package stores Keras weights as joblib files: an LZ4 frame around a pickle of NumPy arrays. The
unpickler accepts only joblib's array header, so no code in a file is executed.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

MAX_FILE_BYTES = 4 << 20
"""Maximum size of an unpacked file in bytes, well above the largest of the package's files."""


class _Cascade(nn.Module):
    """Base of all three networks: convolutions with PReLU and pooling, then linear outputs.

    The last of the `outputs` are the two logits not-face, face.
    """

    def __init__(self, features: nn.Sequential, outputs: list[nn.Module]) -> None:
        super().__init__()
        self.features = features
        self.outputs = nn.ModuleList(outputs)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for images (M, 3, H, W), RGB as (value - 127.5) / 128.

        The last output is converted to probabilities.
        """
        features = self.features(image)
        *values, logits = (output(features) for output in self.outputs)
        return *values, logits.softmax(1)


class _FlattenColumns(nn.Module):
    """Flatten (M, C, H, W) to (M, W * H * C) by columns, as the original MATLAB networks do."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


def _stage(inputs: int, width: int, kernel: int, pool: int = 0, padded: bool = True) -> list:
    """Build a convolution, PReLU and, if `pool` is not 0, maximum pooling by 2.

    Padded pooling keeps an incomplete last window, as Keras' "same" does.
    """
    layers = [nn.Conv2d(inputs, width, kernel), nn.PReLU(width)]
    return [*layers, nn.MaxPool2d(pool, 2, ceil_mode=padded)] if pool else layers


def proposal_network() -> nn.Module:
    """Build P-Net: (M, 3, H, W) -> offsets (M, 4, h, w), probabilities (M, 2, h, w).

    The cells are 12 px wide and 2 px apart. Offsets are x0, y0, x1, y1 in sides of the cell.
    """
    features = nn.Sequential(*_stage(3, 10, 3, 2), *_stage(10, 16, 3), *_stage(16, 32, 3))
    return _Cascade(features, [nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)])


def refinement_network() -> nn.Module:
    """Build R-Net: (M, 3, 24, 24) -> offsets (M, 4), probabilities (M, 2)."""
    features = nn.Sequential(
        *_stage(3, 28, 3, 3),
        *_stage(28, 48, 3, 3, padded=False),
        *_stage(48, 64, 2),
        _FlattenColumns(),
        nn.Linear(576, 128),
        nn.PReLU(128),
    )
    return _Cascade(features, [nn.Linear(128, 4), nn.Linear(128, 2)])


def output_network() -> nn.Module:
    """Build O-Net: (M, 3, 48, 48) -> offsets (M, 4), landmarks (M, 10), probabilities (M, 2).

    The landmarks are x of the five points, then y, in sides of the box. Their order is: the eye on
    the image's left, the other eye, the nose, the mouth corner on the left, the other corner.
    """
    features = nn.Sequential(
        *_stage(3, 32, 3, 3),
        *_stage(32, 64, 3, 3, padded=False),
        *_stage(64, 64, 3, 2),
        *_stage(64, 128, 2),
        _FlattenColumns(),
        nn.Linear(1152, 256),
        nn.PReLU(256),
    )
    return _Cascade(features, [nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2)])


class Networks(NamedTuple):
    """The three networks, in evaluation mode."""

    proposal: nn.Module
    refinement: nn.Module
    output: nn.Module


def load(paths: Sequence[Path]) -> Networks:
    """Load the three networks from the files of P-Net, R-Net and O-Net.

    Raises:
        Exception: of any type: a file is damaged or belongs to another network.
        ImportError: the package lz4 is missing.
    """
    networks = Networks(proposal_network(), refinement_network(), output_network())
    for network, path in zip(networks, paths, strict=True):
        fill(network, read_arrays(path))
        network.eval().requires_grad_(False)
    return networks


def fill(network: nn.Module, arrays: list[np.ndarray]) -> None:
    """Copy Keras' `arrays`, in its order of layers, into the parameters of `network`.

    Raises:
        ValueError: their number or shapes do not match the network.
    """
    parameters = list(network.parameters())
    if len(arrays) != len(parameters):
        raise ValueError(f"it holds {len(arrays)} arrays, not {len(parameters)}")
    for parameter, array in zip(parameters, arrays, strict=True):
        value = torch.from_numpy(array.copy())
        if parameter.ndim == 4:
            value = value.permute(3, 2, 0, 1)
        elif parameter.ndim == 2:
            value = value.T
        else:
            value = value.flatten()  # PReLU's slopes are (1, 1, C) after a convolution
        if value.shape != parameter.shape:
            raise ValueError(f"an array has shape {array.shape}")
        parameter.data.copy_(value)


def read_arrays(path: Path) -> list[np.ndarray]:
    """Read a list of float32 arrays that joblib saved with LZ4.

    Raises:
        ImportError: the package lz4 is missing.
        Exception: of any type: the file is damaged or of another kind.
    """
    with import_module("lz4.frame").open(path) as file:
        content = file.read(MAX_FILE_BYTES)
    value = _ArrayList(io.BytesIO(content)).load()
    if not isinstance(value, list) or not all(isinstance(v, _Array) for v in value):
        raise ValueError("it is not a list of arrays")
    return [v.array for v in value]


class _Array:
    """Replaces joblib's NumpyArrayWrapper, whose array follows it in the file."""

    file: io.BytesIO
    array: np.ndarray

    def __setstate__(self, state: dict[str, Any]) -> None:
        shape, dtype = tuple(state["shape"]), state["dtype"]
        if dtype != np.dtype("<f4") or state["order"] != "C":
            raise ValueError(f"it holds an array of {dtype}")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        content = self.file.read(4 * math.prod(shape))
        self.array = np.frombuffer(content, np.float32).reshape(shape)


class _ArrayList(pickle.Unpickler):
    """Unpickles a list of joblib's arrays and refuses everything else.

    The arrays lie between the pickle's own bytes. An unpickler reads no further than necessary from
    a stream without `peek`, such as BytesIO, so the stream is positioned at the array when
    `__setstate__` is called.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._array = type("_Array", (_Array,), {"file": file})

    def find_class(self, module: str, name: str) -> Any:
        """Return the allowed classes: joblib's header and NumPy's array and number types."""
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return self._array
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
