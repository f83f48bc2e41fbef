"""A network that judges placed landmarks: is each one exact, and is it visible?

It sees the face in an upright crop and is told where the landmarks were placed. It judges landmarks
of any origin: a detector's, a tracker's or a person's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CROP_SIZE = 112
"""Width and height of the crop in pixels."""
PX_PER_UNIT = 46.0
"""Pixels of the crop per unit: the distance of the outer eye corners of the mean face."""
CHANNELS = (24, 48, 80)
"""Channels at a half, a quarter and an eighth of the crop's resolution."""
HIDDEN_FEATURES, EMBEDDING_CHANNELS = 128, 16
NUM_POINTS = 68
FLOW_SCALE = 4.0
"""Factor that brings a landmark's distance from the mean face, in units, to about 1."""


class _Conv(nn.Sequential):
    """A 3 x 3 convolution with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ConfidenceNetwork(nn.Module):
    """Judge 68 landmarks in an upright crop of a face.

    Each landmark has the features of three resolutions at its place, those of the whole face, an
    embedding, and its distance from the mean face. Two layers judge it by these and by the mean of
    all landmarks.
    """

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = CHANNELS
        self.fine = nn.Sequential(_Conv(3, fine, 2), _Conv(fine, fine))
        self.middle = nn.Sequential(_Conv(fine, middle, 2), _Conv(middle, middle))
        self.coarse = nn.Sequential(
            _Conv(middle, coarse, 2), _Conv(coarse, coarse), _Conv(coarse, coarse)
        )
        self.face = nn.Sequential(_Conv(coarse, coarse, 2), _Conv(coarse, coarse))
        self.embedding = nn.Parameter(torch.randn(NUM_POINTS, EMBEDDING_CHANNELS) * 0.3)
        self.mean_face: Tensor
        self.register_buffer("mean_face", torch.zeros(NUM_POINTS, 2))
        features = sum(CHANNELS) + coarse + EMBEDDING_CHANNELS + 2
        self.enter = nn.Linear(features, HIDDEN_FEATURES)
        self.mix = nn.Linear(2 * HIDDEN_FEATURES, HIDDEN_FEATURES)
        self.out = nn.Linear(HIDDEN_FEATURES, 2)

    def forward(self, crops: Tensor, points: Tensor) -> Tensor:
        """Judge landmarks.

        Args:
            crops: (M, 3, CROP_SIZE, CROP_SIZE) RGB in [0, 1].
            points: (M, 68, 2) in crop pixels, origin at the CORNER of the top-left pixel.

        Returns:
            (M, 68, 2) logits: of being within 5 % of the distance of the outer eye corners of the
            true place, and of being visible there.
        """
        mean = crops.mean((2, 3), keepdim=True)
        contrast = (crops - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        fine = self.fine((crops - mean) / (contrast + 0.02))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        face = self.face(coarse).mean((2, 3))
        grid = (points / CROP_SIZE * 2 - 1)[:, :, None]
        sampled = [
            F.grid_sample(level.float(), grid, padding_mode="border", align_corners=False)[..., 0]
            for level in (fine, middle, coarse)
        ]
        offset = (points - self.mean_face) / PX_PER_UNIT * FLOW_SCALE
        count = len(crops)
        features = torch.cat(
            [
                *(level.transpose(1, 2) for level in sampled),
                face.float()[:, None].expand(-1, NUM_POINTS, -1),
                self.embedding.expand(count, -1, -1),
                offset.clamp(-8, 8),
            ],
            -1,
        )
        hidden = torch.relu(self.enter(features))
        shared = hidden.mean(1, keepdim=True).expand_as(hidden)
        logits: Tensor = self.out(torch.relu(self.mix(torch.cat([hidden, shared], -1))))
        return logits.float()
