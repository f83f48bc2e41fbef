"""Coarse to fine: one network places all landmarks, then one for each part of the face refines it.

Fan and Zhou, "Approaching Human Level Facial Landmark Localization by Deep Learning", Image and
Vision Computing 2016. The weights were trained here.
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
    convolution,
    small_start,
)
from facetrack.detectors.cascades.patches import warp
from facetrack.detectors.cascades.shapes import Similarity, fit_similarity
from facetrack.landmarks import schemes

PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("jaw", ("jaw",)),
    ("brows", ("right_brow", "left_brow")),
    ("nose", ("nose_bridge", "nose_base")),
    ("eyes", ("right_eye", "left_eye")),
    ("mouth", ("outer_lips", "inner_lips")),
)
"""The parts of the face, and the regions of the 68-point layout of which each consists."""
PART_SIDE = 40
"""Side of a part's crop in pixels."""
MARGINS = (0.35, 0.2)
"""What is added around a part on either side, in sides of its box, in the first and second round:
the second is closer, since the points are better."""
COARSE_SIDE = SIDE // 2
"""Side of the picture for the coarse network, in pixels."""


class Regressor(nn.Module):
    """A convolutional network from pictures (B, 3, side, side) to numbers (B, outputs).

    Args:
        width: channels of the last convolution.
        hidden: features of the dense layer.
    """

    def __init__(self, side: int, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(3, width // 4, 5, stride=2),
            convolution(width // 4, width // 2),
            nn.MaxPool2d(2),
            convolution(width // 2, width),
            nn.MaxPool2d(2, ceil_mode=True),
        )
        cells = -(-(side // 4) // 2)
        self.dense = nn.Linear(width * cells * cells, hidden)
        self.move = small_start(nn.Linear(hidden, outputs))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers and the dense layer's features (B, hidden)."""
        features = torch.relu(self.dense(self.layers(pictures).flatten(1)))
        return self.move(features), features


class CoarseToFineNetwork(ShapeNetwork):
    """A coarse network on the whole face, then two rounds of five networks on its parts.

    A part is cut out upright, as the similarity from the mean shape to the current one says, with
    a margin around its points. The networks of the second round see closer crops than those of the
    first.
    """

    arch = "cascade"
    edges: Tensor

    def __init__(self, config: ShapeConfig) -> None:
        hidden = 2 * config.width
        super().__init__(config, hidden + len(PARTS) * (config.width // 2))
        regions = schemes.get("68").regions
        self.members = [[i for name in names for i in regions[name]] for _, names in PARTS]
        self.coarse = Regressor(COARSE_SIDE, config.width, hidden, config.components)
        self.fine = nn.ModuleList(
            nn.ModuleList(
                Regressor(PART_SIDE, config.width // 2, config.width // 2, 2 * len(members))
                for members in self.members
            )
            for _ in MARGINS
        )

    @property
    def last_convolution(self) -> nn.Module:
        return self.coarse.layers

    def forward(self, pictures: Tensor) -> Prediction:
        """Place all landmarks, then refine each part twice."""
        mean = self.basis.start(len(pictures))
        small = F.avg_pool2d(pictures, 2).contiguous(memory_format=torch.channels_last)
        weights, features = self.coarse(small)
        shape = mean + self.basis.offsets(weights)
        shapes = [shape]
        for networks, margin in zip(self.fine, MARGINS, strict=True):
            assert isinstance(networks, nn.ModuleList)
            # Where a crop lies gets no gradient: each level is asked for what is left to do.
            back = fit_similarity(mean, shape.detach())
            upright = back.inverse().apply(shape)
            moved = torch.zeros_like(upright)
            seen = [features]
            for members, network in zip(self.members, networks, strict=True):
                moves, inside = self._refine(pictures, back, upright, members, network, margin)
                moved = moved.index_add(1, torch.tensor(members, device=moved.device), moves)
                seen.append(inside)
            shape = back.apply(upright + moved)
            shapes.append(shape)
        return self.answer(shapes, torch.cat(seen, 1))

    def _refine(
        self,
        pictures: Tensor,
        back: Similarity,
        upright: Tensor,
        members: list[int],
        network: nn.Module,
        margin: float,
    ) -> tuple[Tensor, Tensor]:
        """Return a part's moves (B, M, 2) in the upright frame, and features of its crop."""
        points = upright[:, members].detach()
        low, high = points.amin(1), points.amax(1)
        half = (high - low).amax(1, keepdim=True) * (0.5 + margin)
        # Upright places = crop places * half + middle; then back to the picture.
        eye = torch.eye(2, device=points.device)
        inside = Similarity(eye * half[:, :, None], (low + high) / 2)
        matrix = back.matrix * half[:, :, None]
        shift = back.apply(inside.shift[:, None])[:, 0]
        crop = warp(pictures, Similarity(matrix, shift), PART_SIDE)
        numbers, features = network(crop.contiguous(memory_format=torch.channels_last))
        moves = numbers.float().view(len(pictures), -1, 2) * half[:, :, None]
        return moves, features


class CoarseToFine(CascadeDetector):
    """68 points from one network on the face, refined by a network for each part, twice."""

    name = CoarseToFineNetwork.arch
    build = CoarseToFineNetwork
    paper = "Fan & Zhou, Approaching Human Level Facial Landmark Localization, IVC 2016"
