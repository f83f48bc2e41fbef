"""MTCNN's three networks in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from facetrack.weights.state_dict import load_state_dict, read_state_dict


class StageNetwork(nn.Module):
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


def proposal_network() -> StageNetwork:
    """Build P-Net: (M, 3, H, W) -> offsets (M, 4, h, w), probabilities (M, 2, h, w).

    The cells are 12 px wide and 2 px apart. Offsets are x0, y0, x1, y1 in sides of the cell.
    """
    features = nn.Sequential(*_stage(3, 10, 3, 2), *_stage(10, 16, 3), *_stage(16, 32, 3))
    return StageNetwork(features, [nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)])


def refinement_network() -> StageNetwork:
    """Build R-Net: (M, 3, 24, 24) -> offsets (M, 4), probabilities (M, 2)."""
    features = nn.Sequential(
        *_stage(3, 28, 3, 3),
        *_stage(28, 48, 3, 3, padded=False),
        *_stage(48, 64, 2),
        _FlattenColumns(),
        nn.Linear(576, 128),
        nn.PReLU(128),
    )
    return StageNetwork(features, [nn.Linear(128, 4), nn.Linear(128, 2)])


def output_network() -> StageNetwork:
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
    return StageNetwork(features, [nn.Linear(256, 4), nn.Linear(256, 10), nn.Linear(256, 2)])


class Networks(NamedTuple):
    """The three networks, in evaluation mode."""

    proposal: StageNetwork
    refinement: StageNetwork
    output: StageNetwork


def build() -> Networks:
    """Build the three networks with random parameters."""
    return Networks(proposal_network(), refinement_network(), output_network())


def load(path: Path) -> Networks:
    """Load the three networks from a file.

    Raises:
        FacetrackError: the file is damaged or has other networks.
    """
    networks = build()
    together = nn.ModuleDict(networks._asdict())
    load_state_dict(together, read_state_dict(path), path, "MTCNN's three networks")
    together.eval().requires_grad_(False)
    return networks
