"""The Deep Alignment Network: each stage sees the whole face, warped upright by the last shape.

Kowalski, Naruniec and Trzcinski, "Deep Alignment Network: A Convolutional Neural Network for Robust
Face Alignment", CVPRW 2017 (arXiv 1706.01789). The weights were trained here.
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
from facetrack.detectors.cascades.patches import grid, warp
from facetrack.detectors.cascades.shapes import fit_similarity

STAGES = 2
"""Stages, as in the paper: it found no gain from a third."""
CELLS = 28
"""Side in cells of the feature image that a stage hands to the next; 56 in the paper."""
MAP = SIDE // 2
"""Side of the landmark heat map in pixels: enlarged with the feature image, it costs a quarter."""


class Stage(nn.Module):
    """One stage: a picture (B, C, SIDE, SIDE) to shape weights and features.

    Eight convolutions in the paper; five here, of which the first halves the picture.
    """

    def __init__(self, inputs: int, config: ShapeConfig) -> None:
        super().__init__()
        w = config.width
        self.layers = nn.Sequential(
            convolution(inputs, w // 4, 5, stride=2),
            convolution(w // 4, w // 2),
            nn.MaxPool2d(2),
            convolution(w // 2, w),
            nn.MaxPool2d(2),
            convolution(w, w),
            nn.MaxPool2d(2),
            convolution(w, w),
        )
        self.dense = nn.Linear(w * (SIDE // 16) ** 2, 4 * w)
        self.move = small_start(nn.Linear(4 * w, config.components))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return shape weights (B, K) and the dense layer's features (B, 4 * width)."""
        features = torch.relu(self.dense(self.layers(picture).flatten(1)))
        return self.move(features), features


class DanNetwork(ShapeNetwork):
    """Stages on the whole face.

    From the second stage on, a similarity transform warps the picture so that the current shape
    lies on the mean shape. A heat map of 1 / (1 + pixels to the nearest landmark) shows where that
    shape is in it, and an image of features, drawn from the last stage's dense layer, what that
    stage knew. The movement is in the frame of the warped picture, and is warped back.
    """

    arch = "dan"

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__(config, 4 * config.width)
        self.stages = nn.ModuleList(Stage(3 if i == 0 else 5, config) for i in range(STAGES))
        self.draw = nn.ModuleList(
            nn.Linear(4 * config.width, CELLS * CELLS) for _ in range(STAGES - 1)
        )

    @property
    def last_convolution(self) -> nn.Module:
        stage = self.stages[-1]
        assert isinstance(stage, Stage)
        return stage.layers

    def forward(self, pictures: Tensor) -> Prediction:
        """Move the mean shape in STAGES stages."""
        mean = self.basis.start(len(pictures))
        weights, features = self.stages[0](pictures)
        shape = mean + self.basis.offsets(weights)
        shapes = [shape]
        for stage, draw in zip(list(self.stages)[1:], self.draw, strict=True):
            # Stages were trained one after the other: where a stage looks gets no gradient.
            back = fit_similarity(mean, shape.detach())
            upright = back.inverse().apply(shape)
            image = torch.relu(draw(features)).view(-1, 1, CELLS, CELLS)
            extra = torch.cat(
                [
                    nearness(upright.detach(), MAP),
                    F.interpolate(image.float(), size=MAP, mode="bilinear", align_corners=False),
                ],
                1,
            )
            extra = F.interpolate(extra, size=SIDE, mode="bilinear", align_corners=False)
            seen = torch.cat([warp(pictures, back, SIDE), extra], 1)
            weights, features = stage(seen.contiguous(memory_format=torch.channels_last))
            shape = back.apply(upright + self.basis.offsets(weights))
            shapes.append(shape)
        return self.answer(shapes, features)


def nearness(shapes: Tensor, side: int) -> Tensor:
    """Draw 1 / (1 + pixels of the crop to the nearest landmark) for shapes (B, N, 2).

    Returns:
        (B, 1, side, side).
    """
    places = grid(side, shapes.device).view(1, -1, 2).expand(len(shapes), -1, -1)
    distance = torch.cdist(places, shapes.float(), compute_mode="donot_use_mm_for_euclid_dist")
    pixels = distance.amin(2) * (SIDE / 2)
    return (1 / (1 + pixels)).view(-1, 1, side, side)


class Dan(CascadeDetector):
    """68 points in two stages on the whole face, the second on the face warped upright."""

    name = DanNetwork.arch
    build = DanNetwork
    paper = "Kowalski et al., Deep Alignment Network, CVPRW 2017 (arXiv 1706.01789)"
