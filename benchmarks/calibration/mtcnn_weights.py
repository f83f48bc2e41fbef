"""Convert the weights of the package mtcnn to one safetensors file.

    pip install mtcnn==1.0.0
    python benchmarks/calibration/mtcnn_weights.py --out weights/mtcnn.safetensors

The package has the networks of Zhang et al. as Keras' arrays: P-Net, R-Net and O-Net, a joblib file
each. They are copied into facetrack's networks, in which convolutions are (out, in, H, W). Loading
joblib files runs code in them, so take the package from PyPI.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facetrack.face_detectors import mtcnn_network

FILES = ("pnet.lz4", "rnet.lz4", "onet.lz4")
SOURCE = "mtcnn 1.0.0 (https://github.com/ipazc/mtcnn)"
LICENCE = "MIT, Copyright (c) 2019-2024 Iván de Paz Centeno"


def converted(network: nn.Module, arrays: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Return the state of `network` with Keras' arrays, which have the order of its layers.

    Raises:
        ValueError: their number or shapes do not match the network.
    """
    state = dict(network.named_parameters())
    if len(arrays) != len(state):
        raise ValueError(f"{len(arrays)} arrays, not {len(state)}")
    found = {}
    for (name, parameter), array in zip(state.items(), arrays, strict=True):
        value = torch.from_numpy(np.array(array, np.float32))
        if parameter.ndim == 4:
            value = value.permute(3, 2, 0, 1)
        elif parameter.ndim == 2:
            value = value.T
        else:
            value = value.flatten()  # PReLU's slopes are (1, 1, C) after a convolution
        if value.shape != parameter.shape:
            raise ValueError(f"{name} has shape {array.shape}")
        found[name] = value.contiguous()
    return found


def main() -> None:
    """Convert the installed package's files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    options = parser.parse_args()
    # The package is not imported, because its `__init__` needs TensorFlow.
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package mtcnn is not installed; run: pip install mtcnn==1.0.0")
    import joblib  # which comes with the package

    folder = Path(spec.submodule_search_locations[0]) / "assets/weights"
    state = {}
    networks = mtcnn_network.build()._asdict()
    for (part, network), name in zip(networks.items(), FILES, strict=True):
        arrays = joblib.load(folder / name)
        state |= {f"{part}.{key}": value for key, value in converted(network, arrays).items()}
    save_file(state, options.out, {"source": SOURCE, "licence": LICENCE})


if __name__ == "__main__":
    main()
