"""Coarse-to-fine auto-encoders: one on a small face, then three on features around the points.

Zhang, Shan, Kan and Chen, "Coarse-to-Fine Auto-Encoder Networks (CFAN) for Real-Time Face
Alignment", ECCV 2014. The weights were trained here.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.cascades.base import (
    SIDE,
    CascadeDetector,
    Prediction,
    ShapeConfig,
    ShapeNetwork,
    small_start,
)
from facetrack.detectors.cascades.patches import around

GLOBAL_SIDE = 50
"""Side of the grey face that the global network sees, in pixels, as in the paper."""
LEVELS = (40, 28, 18)
"""Width in pixels of the crop of the patches of the three local networks: at the paper's growing
resolution a patch of the same number of cells covers less and less."""
PATCH = 8
"""Side of a patch in pixels of its level."""
CELLS, BINS = 2, 8
"""Cells along a patch's side, and directions of gradients: 32 numbers for each point. The paper's
SIFT has 4 x 4 cells of 8 directions."""
NOISE = 0.1
"""Share of inputs that are set to zero while an auto-encoder learns to reproduce them."""


class AutoEncoder(nn.Module):
    """Sigmoid layers that are first trained to reproduce their inputs, and a linear last one.

    Args:
        sizes: numbers of inputs and of each hidden layer.
        outputs: number of outputs.
    """

    def __init__(self, sizes: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, gain=2.0)
            nn.init.zeros_(layer.bias)
        self.last = small_start(nn.Linear(sizes[-1], outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, outputs) and the last hidden layer for inputs (B, inputs)."""
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.last(x), x

    def reproduction(self, x: Tensor) -> Tensor:
        """Return the mean squared error of each layer's reproduction of its input, summed.

        Each layer sees its input with a tenth of the numbers set to zero, and its own weights,
        transposed, lead back (Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010). No
        layer changes those below it, so each is trained as greedily as on its own.
        """
        total = x.new_zeros(())
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            x = x.detach()
            code = torch.sigmoid(layer(F.dropout(x, NOISE)))
            back = code @ layer.weight
            total = total + (back - (x - x.mean(0))).square().mean() / x.var().clamp_min(1e-4)
            x = torch.sigmoid(layer(x))
        return total


class CfanNetwork(ShapeNetwork):
    """A global auto-encoder network, then three local ones.

    The paper's global network has layers of 1600, 900, 400 and the local ones of 1296, 784 and 400
    numbers; these are some five times smaller.
    """

    arch = "cfan"

    def __init__(self, config: ShapeConfig) -> None:
        w = config.width
        super().__init__(config, 2 * w)
        self.whole = AutoEncoder((GLOBAL_SIDE**2, 6 * w, 4 * w, 2 * w), config.components)
        inputs = config.points * CELLS * CELLS * BINS
        self.local = nn.ModuleList(
            AutoEncoder((inputs, 3 * w, 2 * w), config.components) for _ in LEVELS
        )

    @property
    def last_convolution(self) -> None:
        """There is none."""

    def forward(self, pictures: Tensor) -> Prediction:
        """Move the mean shape four times."""
        weights, hidden = self.whole(face(pictures))
        shape = self.basis.start(len(pictures)) + self.basis.offsets(weights)
        shapes = [shape]
        for network, width in zip(self.local, LEVELS, strict=True):
            weights, hidden = network(gradients(pictures, shape.detach(), width))
            shape = shape + self.basis.offsets(weights)
            shapes.append(shape)
        return self.answer(shapes, hidden)

    def reproduction(self, pictures: Tensor, shapes: Tensor) -> Tensor:
        """Return the error of all auto-encoders on pictures whose shapes (B, N, 2) are known."""
        assert isinstance(self.whole, AutoEncoder)
        total = self.whole.reproduction(face(pictures))
        for network, width in zip(self.local, LEVELS, strict=True):
            assert isinstance(network, AutoEncoder)
            total = total + network.reproduction(gradients(pictures, shapes, width))
        return total / (1 + len(LEVELS))


def grey(pictures: Tensor) -> Tensor:
    """Return the mean of the colours of pictures (B, 3, H, W), (B, 1, H, W) in float32."""
    return pictures.float().mean(1, keepdim=True)


def face(pictures: Tensor) -> Tensor:
    """Return small grey faces (B, GLOBAL_SIDE**2), each of mean 0 and variance 1."""
    small = F.interpolate(
        grey(pictures), size=GLOBAL_SIDE, mode="bilinear", align_corners=False, antialias=True
    ).flatten(1)
    return (small - small.mean(1, keepdim=True)) / small.std(1, keepdim=True).clamp_min(0.05)


def gradients(pictures: Tensor, points: Tensor, width: float) -> Tensor:
    """Describe the picture around points by histograms of gradients.

    Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, with fewer cells.

    Args:
        pictures: (B, 3, H, W).
        points: (B, N, 2) places.
        width: of a patch, in pixels of a crop of SIDE.

    Returns:
        (B, N * CELLS**2 * BINS), of each point of length 1 at most, and at most 0.35 each.
    """
    side = PATCH + 2  # differences take a pixel more on either side
    patches = around(grey(pictures), points, side, width / SIDE * side / PATCH)[:, :, 0]
    across = patches[..., 1:-1, 2:] - patches[..., 1:-1, :-2]
    down = patches[..., 2:, 1:-1] - patches[..., :-2, 1:-1]
    angle = torch.arange(BINS, device=points.device) * (2 * torch.pi / BINS)
    # The part of a gradient along each of the directions: a smooth choice of its bin.
    along = across[..., None] * angle.cos() + down[..., None] * angle.sin()
    along = along.clamp_min(0)
    cell = PATCH // CELLS
    sums = along.unflatten(2, (CELLS, cell)).unflatten(4, (CELLS, cell)).sum((3, 5)).flatten(2)
    length = sums.norm(dim=-1, keepdim=True)
    return (sums / (length + 0.05)).clamp_max(0.35).flatten(1)


class Cfan(CascadeDetector):
    """68 points from auto-encoders, the first on the face, three on gradients around points."""

    name = CfanNetwork.arch
    build = CfanNetwork
    paper = "Zhang et al., Coarse-to-Fine Auto-Encoder Networks (CFAN), ECCV 2014"
