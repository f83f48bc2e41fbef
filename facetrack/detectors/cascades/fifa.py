"""A vision transformer with antialiased hourglasses between its blocks.

Kar, Chudasama, Onoe, Wasnik and Balasubramanian, "Fiducial Focus Augmentation for Facial Landmark
Detection", BMVC 2023 (arXiv 2402.15044). The weights were trained here.

It draws heat maps, and stands with the cascades because it shares their crop and their scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.cascades.base import (
    SIDE,
    CascadeDetector,
    Prediction,
    ShapeConfig,
    ShapeNetwork,
)
from facetrack.detectors.cascades.maps import mean_places, rare
from facetrack.detectors.hourglass import Hourglass

PATCH = 8
"""Side in pixels of a patch, which is a token; 16 of 512 in the paper."""
TOKENS = SIDE // PATCH
"""Tokens along a side."""
MAP = 4 * TOKENS
"""Side of a heat map in cells; 128 in the paper."""
ROUNDS, BLOCKS = 3, 2
"""Hourglasses, and transformer blocks before each; 3 and 4 in the paper."""
HEAD = 32
"""Channels of a head of attention."""
SIGMA = 1.5 * MAP / 128
"""Standard deviation in cells of the Gaussians on the maps: as wide on the face as in the paper."""


class Block(nn.Module):
    """A block of a vision transformer (Dosovitskiy et al., ICLR 2021): tokens (B, T, C) to such."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attend = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        parts = self.attend(self.norms[0](tokens)).view(batch, count, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        tokens = tokens + self.join(seen.reshape(batch, count, width))
        return tokens + self.narrow(F.gelu(self.wide(self.norms[1](tokens))))


class FifaNetwork(ShapeNetwork):
    """Tokens, rounds of transformer blocks and an hourglass, and heat maps.

    Each hourglass halves the grid of tokens without aliasing and filters it in the Fourier domain
    (FF-Parser). A landmark is the mean place of its map, whose cells are weighted by a softmax.
    Sizes are far smaller than ViT-B's: tokens of 64 numbers instead of 768.
    """

    arch = "fifa"

    def __init__(self, config: ShapeConfig) -> None:
        w = config.width
        super().__init__(config, w)
        self.embed = nn.Sequential(
            nn.Conv2d(3, w // 2, 4, 4), nn.GELU(), nn.Conv2d(w // 2, w, 3, 2, 1)
        )
        self.places = nn.Parameter(0.02 * torch.randn(1, TOKENS**2, w))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(BLOCKS))) for _ in range(ROUNDS)
        )
        self.hourglasses = nn.ModuleList(Hourglass(1, w, True, TOKENS) for _ in range(ROUNDS))
        self.grow = nn.Sequential(
            nn.ConvTranspose2d(w, w, 4, 2, 1), nn.BatchNorm2d(w), nn.ReLU(),
            nn.ConvTranspose2d(w, w, 4, 2, 1), nn.BatchNorm2d(w), nn.ReLU(),
        )  # fmt: skip
        self.draw = nn.Conv2d(w, config.points, 1)
        nn.init.constant_(self.draw.bias, rare(SIGMA, MAP))  # type: ignore[arg-type]
        self.sharpness = nn.Parameter(torch.zeros(()))

    @property
    def last_convolution(self) -> nn.Module:
        return self.hourglasses[-1]

    def forward(self, pictures: Tensor) -> Prediction:
        """Place the landmarks at the means of their maps."""
        return self.read(*self.maps(pictures))

    def maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, N, MAP, MAP) before the sigmoid in float32, and features (B, width)."""
        x = self.embed(pictures)
        batch, width = x.shape[:2]
        tokens = x.flatten(2).transpose(1, 2) + self.places
        for blocks, hourglass in zip(self.blocks, self.hourglasses, strict=True):
            tokens = blocks(tokens)
            x = tokens.transpose(1, 2).reshape(batch, width, TOKENS, TOKENS)
            x = hourglass(x.contiguous(memory_format=torch.channels_last))
            tokens = x.flatten(2).transpose(1, 2)
        return self.draw(self.grow(x)).float(), x.float().mean((2, 3))

    def read(self, maps: Tensor, features: Tensor) -> Prediction:
        """Return the mean places of maps, and the spread that features imply."""
        return self.answer([mean_places(maps, self.sharpness)], features)


class Fifa(CascadeDetector):
    """68 points from heat maps of a small vision transformer with hourglasses."""

    name = FifaNetwork.arch
    build = FifaNetwork
    paper = "Kar et al., Fiducial Focus Augmentation, BMVC 2023 (arXiv 2402.15044)"
