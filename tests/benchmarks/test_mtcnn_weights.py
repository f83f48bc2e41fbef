"""MTCNN's weights, converted from Keras' arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.calibration import mtcnn_weights
from facetrack.face_detectors import mtcnn_network


def keras_arrays(network: torch.nn.Module) -> list[np.ndarray]:
    """The parameters of a network as Keras stores them."""
    arrays = []
    for parameter in network.parameters():
        value = parameter.detach().numpy()
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        arrays.append(value.T if value.ndim == 2 else value)
    return arrays


def test_arrays_of_keras_are_converted() -> None:
    network, copied = mtcnn_network.refinement_network(), mtcnn_network.refinement_network()
    copied.load_state_dict(mtcnn_weights.converted(network, keras_arrays(network)))
    pictures = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    for value, wanted in zip(copied(pictures), network(pictures), strict=True):
        torch.testing.assert_close(value, wanted)
    with pytest.raises(ValueError, match="arrays, not"):
        mtcnn_weights.converted(mtcnn_network.proposal_network(), keras_arrays(network))
