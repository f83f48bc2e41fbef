"""The deep convolutional network cascade: five points in three levels of small networks.

Sun, Wang and Tang, "Deep Convolutional Network Cascade for Facial Point Detection", CVPR 2013. The
weights were trained here.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.cascades.base import (
    CascadeDetector,
    Prediction,
    ShapeConfig,
    ShapeNetwork,
)
from facetrack.detectors.cascades.cfan import grey
from facetrack.detectors.cascades.patches import around

FACE = 39
"""Side of the first level's picture in pixels; its parts are 31 of them high."""
PART = 31
PATCH = 15
"""Side of the pictures of the second and third level, in pixels."""
WIDTHS = ((0.16, 0.22), (0.1, 0.14))
"""Widths of the two patches around each point at the second and third level, in widths of the
crop."""
VIEWS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("whole", (0, 1, 2, 3, 4)),
    ("upper", (0, 1, 2)),
    ("lower", (2, 3, 4)),
)
"""The networks of the first level, F1, EN1 and NM1, and the points that each predicts."""
POINTS = 5


class GainTanh(nn.Module):
    """abs(gain * tanh(x)), with a learned gain for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.gain * torch.tanh(x)).abs()


class LocalConvolution(nn.Module):
    """A convolution whose weights are shared only within the regions of a grid over its output.

    The map (B, C, h, w) is cut into regions x regions parts that overlap by the kernel's side less
    one; each is convolved with weights of its own.
    """

    def __init__(self, inputs: int, outputs: int, size: int, regions: int) -> None:
        super().__init__()
        self.size, self.regions = size, regions
        self.kernels = nn.ModuleList(nn.Conv2d(inputs, outputs, size) for _ in range(regions**2))

    def forward(self, x: Tensor) -> Tensor:
        height, width = (side - self.size + 1 for side in x.shape[-2:])
        rows, columns = (_cuts(side, self.regions) for side in (height, width))
        more = self.size - 1
        kernels = iter(self.kernels)
        lines = []
        for top, end in rows:
            band = x[..., top : end + more, :]
            parts = [next(kernels)(band[..., left : right + more]) for left, right in columns]
            lines.append(torch.cat(parts, -1))
        return torch.cat(lines, -2)


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """Cut a length into parts of nearly the same length: their starts and ends."""
    edges = [round(i * length / parts) for i in range(parts + 1)]
    return list(pairwise(edges))


class FirstLevel(nn.Module):
    """F1, EN1 or NM1: a grey picture (B, 1, h, 39) to the places of some points (B, 2 * points).

    Four convolutions (4 x 4 to 20 maps, 3 x 3 to 40, 3 x 3 to 60, 2 x 2 to 80), the first three
    pooled, then 120 numbers. From the second convolution on weights are shared locally.
    """

    def __init__(self, height: int, points: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 20, 4), GainTanh(20), nn.MaxPool2d(2, ceil_mode=True),
            LocalConvolution(20, 40, 3, 2), GainTanh(40), nn.MaxPool2d(2, ceil_mode=True),
            LocalConvolution(40, 60, 3, 2), GainTanh(60), nn.MaxPool2d(2, ceil_mode=True),
            LocalConvolution(60, 80, 2, 1), GainTanh(80),
        )  # fmt: skip
        with torch.no_grad():
            inside = self.layers(torch.zeros(1, 1, height, FACE)).numel()
        self.full = nn.Linear(inside, 120)
        self.last = nn.Linear(120, 2 * points)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers and the 120 features."""
        features = torch.tanh(self.full(self.layers(picture).flatten(1))).abs()
        return self.last(features), features


class Increments(nn.Module):
    """The networks of a later level, one for each point and patch size, in one.

    Each sees a grey patch of 15 x 15 and predicts an increment from -1 to 1, in half patches: conv
    4 x 4 to 20 maps, pool, conv 3 x 3 to 40, pool, 60 numbers, 2. As they are alike, they run as
    the groups of grouped convolutions.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.first = nn.Conv2d(count, 20 * count, 4, groups=count)
        self.second = nn.Conv2d(20 * count, 40 * count, 3, groups=count)
        self.gains = nn.ModuleList([GainTanh(20 * count), GainTanh(40 * count)])
        self.full = nn.Conv2d(40 * count, 60 * count, 2, groups=count)
        self.last = nn.Conv2d(60 * count, 2 * count, 1, groups=count)
        nn.init.normal_(self.last.weight, std=0.01)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """Return increments (B, count, 2) for patches (B, count, 15, 15)."""
        x = F.max_pool2d(self.gains[0](self.first(patches)), 2)
        x = F.max_pool2d(self.gains[1](self.second(x)), 2)
        x = torch.tanh(self.full(x)).abs()
        return torch.tanh(self.last(x)).float().view(-1, self.count, 2)


class DcnnNetwork(ShapeNetwork):
    """Three levels: all points from the face and its halves, then twice an increment for each.

    The points are the middles of the eyes, the tip of the nose and the corners of the mouth. At
    each level a point is the mean of what the networks say that predict it.
    """

    arch = "dcnn"

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__(config._replace(points=POINTS), 120)
        self.first = nn.ModuleList(
            FirstLevel(FACE if name == "whole" else PART, len(points)) for name, points in VIEWS
        )
        self.later = nn.ModuleList(Increments(len(pair) * POINTS) for pair in WIDTHS)

    @property
    def last_convolution(self) -> nn.Module:
        whole = self.first[0]
        assert isinstance(whole, FirstLevel)
        return whole.layers

    def forward(self, pictures: Tensor) -> Prediction:
        """Place the five points in three levels."""
        dark = grey(pictures)
        face = F.interpolate(dark, size=FACE, mode="bilinear", align_corners=False, antialias=True)
        face = face - face.mean((1, 2, 3), keepdim=True)
        seen = {"whole": face, "upper": face[:, :, :PART], "lower": face[:, :, -PART:]}
        total = self.basis.start(len(pictures)) * 0
        count = torch.zeros(POINTS, device=pictures.device)
        features = None
        for (name, points), network in zip(VIEWS, self.first, strict=True):
            moves, inside = network(seen[name])
            features = inside if features is None else features
            where = torch.tensor(points, device=pictures.device)
            total = total.index_add(1, where, moves.float().view(len(pictures), -1, 2))
            count = count.index_add(0, where, torch.ones(len(points), device=pictures.device))
        assert features is not None
        shape = self.basis.start(len(pictures)) + total / count[:, None]
        shapes = [shape]
        for network, widths in zip(self.later, WIDTHS, strict=True):
            patches = torch.cat(
                [around(dark, shape.detach(), PATCH, width)[:, :, 0] for width in widths], 1
            )
            patches = patches - patches.mean((2, 3), keepdim=True)
            moves = network(patches).view(len(pictures), len(widths), POINTS, 2)
            reach = torch.tensor(widths, device=moves.device).view(1, -1, 1, 1)
            shape = shape + (moves * reach).mean(1)
            shapes.append(shape)
        return self.answer(shapes, features)


class Dcnn(CascadeDetector):
    """Five points: the middles of the eyes, the tip of the nose, the corners of the mouth."""

    name = DcnnNetwork.arch
    build = DcnnNetwork
    layout = "5"
    paper = "Sun, Wang & Tang, Deep Convolutional Network Cascade, CVPR 2013"


def five_points(points: Tensor) -> Tensor:
    """Return the five points (..., 5, 2) of faces of 68 points (..., 68, 2)."""
    eyes = [points[..., first : first + 6, :].mean(-2, keepdim=True) for first in (36, 42)]
    return torch.cat([*eyes, points[..., [30, 48, 54], :]], -2)
