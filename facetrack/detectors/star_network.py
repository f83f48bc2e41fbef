"""STAR's network: stacked hourglasses that fuse point, edge and heat maps.

Zhou, Li, Liu, Wang, Yu and Ji, "STAR Loss: Reducing Semantic Ambiguity in Facial Landmark
Detection", CVPR 2023 (arXiv 2306.02763), on the network of Huang, Yang, Li, Kim and Wei, "ADNet",
ICCV 2021. Parameters are named as in the published checkpoints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors.hourglass import Conv, Hourglasses, with_coordinates
from facetrack.ops.sampling import surrounding_cells
from facetrack.runtime.transfers import constant

CELLS = 64
"""Cells of the maps along each axis, for a crop of 256 pixels."""
MAX_LEVELS = 6
"""Maximum number of halvings of 64 x 64 cells."""
BOUNDARY = 0.05
"""Height of the last heat map above which a cell counts as part of the boundary."""


@dataclass(frozen=True)
class StarConfig:
    """Configuration of a STAR network; the defaults are those published for WFLW.

    Attributes:
        points: landmarks N.
        edges: number of lines E that the points lie on.
        stacks: number of hourglasses.
        levels: halvings within an hourglass.
        width: channels within the hourglasses, a multiple of 4.
        antialiased: blur before each halving within the hourglasses
            (`hourglass.halve_antialiased`); a checkpoint's names do not reveal it.
        filtered: apply a learned filter after each upsampling (`hourglass.FourierFilter`), which
            fixes the crop's side to 256.
    """

    points: int = 98
    edges: int = 9
    stacks: int = 4
    levels: int = 4
    width: int = 256
    antialiased: bool = False
    filtered: bool = False

    @staticmethod
    def from_state(state: Mapping[str, Tensor]) -> StarConfig:
        """Infer the configuration from a checkpoint's names and shapes.

        Raises:
            ValueError: the checkpoint is not that of a STAR network.
        """
        membership, stem = state.get("e2h_transform.weight"), state.get("hgs.0.coordconv.conv.bias")
        if membership is None or stem is None or membership.ndim != 4 or stem.ndim != 1:
            raise ValueError("it has no e2h_transform and hgs.0.coordconv")
        stacks = {m[1] for key in state if (m := re.match(r"hgs\.(\d+)\.", key))}
        levels = max(key.count("low2.") for key in state if key.startswith("hgs.0."))
        width = len(stem)
        points, edges = (int(n) for n in membership.shape[:2])
        # These limits keep a network that is read from a file to a sensible size.
        if width % 4 or not (4 <= width <= 1024 and 1 <= levels <= MAX_LEVELS):
            raise ValueError(f"{width} channels and {levels} levels make no hourglass")
        if not (1 <= points <= 1000 and 1 <= edges <= 100 and len(stacks) <= 16):
            raise ValueError(f"{len(stacks)} hourglasses for {points} points on {edges} edges")
        filtered = any(".filter." in key for key in state)
        return StarConfig(points, edges, len(stacks), levels, width, filtered=filtered)


class StarMaps(NamedTuple):
    """Output of an hourglass for M crops, on h x w cells (a quarter of the crop's side).

    Attributes:
        fusion: (M, N, h, w) >= 0, the product of heat, point and edge maps.
        heat: (M, N, h, w) >= 0, normalised over each map.
        point: (M, N, h, w) in [0, 1], proximity to each landmark.
        edge: (M, E, h, w) in [0, 1], proximity to each line of the face.
    """

    fusion: Tensor
    heat: Tensor
    point: Tensor
    edge: Tensor


class StarNetwork(Hourglasses):
    """Map crops (M, 3, H, W), BGR in [-1, 1], to `StarMaps`.

    H and W must be multiples of 64; the published networks use 256.

    Args:
        config: the network's configuration.
    """

    def __init__(self, config: StarConfig) -> None:
        width, points, edges = config.width, config.points, config.edges
        super().__init__(
            width,
            config.stacks,
            config.levels,
            config.antialiased,
            CELLS if config.filtered else 0,
            extra=2,  # see `with_coordinates`
        )
        self.config = config
        every, inner = range(config.stacks), range(config.stacks - 1)
        self.out_heatmaps = nn.ModuleList(Conv(width, points) for _ in every)
        # Membership of points in edges, 0 or 1, stored in the checkpoint and never trained. The
        # bias is 1 for points on no edge (pupils), so that the edges do not suppress them.
        self.e2h_transform = nn.Conv2d(edges, points, 1).requires_grad_(False)
        self.out_edgemaps = nn.ModuleList(Conv(width, edges) for _ in every)
        self.out_pointmaps = nn.ModuleList(Conv(width, points) for _ in every)
        self.merge_edgemaps = nn.ModuleList(Conv(edges, width) for _ in inner)
        self.merge_pointmaps = nn.ModuleList(Conv(points, width) for _ in inner)
        self.merge_heatmaps = nn.ModuleList(Conv(points, width) for _ in inner)

    def forward(self, crops: Tensor) -> StarMaps:
        """Compute the last hourglass's maps of crops (M, 3, H, W)."""
        *_, last = self.stacks(crops)
        return last

    def stacks(self, crops: Tensor) -> Iterator[StarMaps]:
        """Yield the maps of crops (M, 3, H, W) after each hourglass (training supervises all)."""
        x = self.begin(crops)
        heat: Tensor | None = None
        for i in range(self.config.stacks):
            # From the second hourglass on, the boundary's cells are an additional input.
            boundary = None if heat is None else heat[:, -1:] > BOUNDARY
            feature = self.features[i](self.hgs[i](with_coordinates(x, boundary)))
            heat = F.relu(F.instance_norm(self.out_heatmaps[i](feature)))
            point = self.out_pointmaps[i](feature).sigmoid()
            edge = self.out_edgemaps[i](feature).sigmoid()
            if i + 1 < self.config.stacks:
                x = x + self.merge_features[i](feature) + self.merge_heatmaps[i](heat)
                x = x + self.merge_pointmaps[i](point) + self.merge_edgemaps[i](edge)
            yield StarMaps(self.e2h_transform(edge) * point * heat, heat, point, edge)


def decode(fusion: Tensor) -> Tensor:
    """Return the centroids (M, N, 2) of fusion maps (M, N, h, w), from -1 to 1 across the cells.

    The maps are normalised by their sums, without a softmax.
    """
    height, width = fusion.shape[-2:]
    right = torch.linspace(-1, 1, width, device=fusion.device, dtype=fusion.dtype)
    down = torch.linspace(-1, 1, height, device=fusion.device, dtype=fusion.dtype)
    columns = fusion.sum(-2)
    mass = columns.sum(-1).clamp_min(1e-6)
    return torch.stack([columns @ right / mass, fusion.sum(-1) @ down / mass], -1)


def concentration(fusion: Tensor, xy: Tensor, radius: float) -> Tensor:
    """Return the fraction of each map's mass within `radius` cells of the point.

    Args:
        fusion: (M, N, h, w) maps, >= 0.
        xy: (M, N, 2) points, from -1 to 1 across the cells, as returned by `decode`.
        radius: in cells.

    Returns:
        (M, N) in [0, 1]; 0 for an empty map.
    """
    height, width = fusion.shape[-2:]
    cell = (xy + 1) / 2 * constant((width - 1, height - 1), xy)
    reach = math.ceil(radius)
    index, inside, beyond = surrounding_cells(
        cell.flatten(0, 1) + 0.5, 2 * reach + 1, height, width
    )
    steps = torch.arange(-reach, reach + 2, device=xy.device)
    across, down = (steps - beyond[..., None]).square().unbind(1)
    near = across[:, None] + down[..., None] <= radius**2
    cells = fusion.flatten(0, 1).flatten(1).gather(1, index.flatten(1)).view_as(index)
    mass = fusion.sum((-2, -1)).clamp_min(1e-6)
    return ((cells * (near & inside)).sum((-2, -1)).view_as(mass) / mass).clamp(0, 1)
