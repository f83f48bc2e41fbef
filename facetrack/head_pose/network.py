"""A network that regresses the pose of a head from the picture of its face.

FacePoseNet (Chang, Tran, Hassner, Masi, Nevatia and Medioni, "FacePoseNet: Making a Case for
Landmark-Free Face Alignment", ICCVW 2017): a convolutional network answers with the six degrees of
freedom of a generic 3-D face, each standardised by its mean and deviation over the training
pictures. The paper's network is an AlexNet of 227 pixels; this one is a small residual network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 64
"""Width and height of the pictures in pixels."""
NUMBERS = 6
"""Three numbers of a rotation vector, two of the place, and the size; see `picture_pose`."""
CHANNELS = (16, 32, 64, 128)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution."""
PLACED_CHANNELS, HIDDEN = 32, 128
"""Channels that keep their place in the picture, and features of the hidden layer."""


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    """Two convolutions whose result is added to their input (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map (B, C, H, W) of the same shape."""
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class FacePoseNet(nn.Module):
    """Regress the pose of the head in a crop of a face; see the module."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *CHANNELS), CHANNELS, strict=False):
            layers += [_convolution(inputs, outputs, 3, 2), nn.ReLU(), _Residual(outputs)]
        layers += [_convolution(CHANNELS[-1], PLACED_CHANNELS, 1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        cells = (SIDE // 2 ** len(CHANNELS)) ** 2
        self.regression = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PLACED_CHANNELS * cells, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, NUMBERS),
        )
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(NUMBERS))
        self.register_buffer("deviation", torch.ones(NUMBERS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Regress standardised poses.

        Args:
            pictures: (B, 3, SIDE, SIDE) RGB in [0, 1].

        Returns:
            (B, 6) in deviations of the training's poses from their mean.
        """
        mean = pictures.mean((2, 3), keepdim=True)
        contrast = (pictures - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        answer: Tensor = self.regression(self.features((pictures - mean) / (contrast + 0.02)))
        return answer.float()

    def standardise(self, numbers: Tensor) -> Tensor:
        """Return numbers (B, 6) of `picture_pose.to_numbers` in the unit of `forward`."""
        return (numbers - self.mean) / self.deviation

    def numbers(self, pictures: Tensor) -> Tensor:
        """Return the numbers (B, 6) of the poses in pictures (B, 3, SIDE, SIDE)."""
        return self(pictures) * self.deviation + self.mean
