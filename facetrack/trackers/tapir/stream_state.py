"""The state of a stream of frames, and the split of many points into groups."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facetrack.trackers.tapir.mixer import MixerCache, empty_cache
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.occlusion import OcclusionMemory
from facetrack.trackers.tapir.types import POSITION_KEYS, QueryFeatures

MAX_GROUP_POINTS = 512
"""Points in a group: within one, the cost of relating all points to each other is quadratic."""


@dataclass(frozen=True)
class Grouping:
    """Splits N points, or G groups of them, into groups of at most MAX_GROUP_POINTS.

    Attributes:
        lead: () for points without an axis for groups, else (G,).
        count: N.
        parts: groups that N points are spread over. Each takes every Nth point, so that each covers
            the whole face; the first points fill up the last group.
    """

    lead: tuple[int, ...]
    count: int
    parts: int

    @staticmethod
    def of(points: np.ndarray) -> Grouping:
        """Return the grouping of points (N, 2) or (G, N, 2)."""
        count = points.shape[-2]
        return Grouping(points.shape[:-2], count, max(1, -(-count // MAX_GROUP_POINTS)))

    def split(self, points: np.ndarray) -> np.ndarray:
        """Split points (..., N, 2) into groups (G * parts, n, 2)."""
        size = -(-self.count // self.parts)
        filled = points[..., np.arange(size * self.parts) % self.count, :]
        groups = filled.reshape(-1, size, self.parts, points.shape[-1]).swapaxes(1, 2)
        return groups.reshape(-1, size, points.shape[-1])

    def join(self, values: Tensor) -> Tensor:
        """Join values of groups (G * parts, n, ...) to those of all points (..., N, ...)."""
        groups = values.unflatten(0, (-1, self.parts)).transpose(1, 2).flatten(1, 2)
        return groups[:, : self.count].reshape(*self.lead, self.count, *values.shape[2:])


class StreamState:
    """Everything that a causal network remembers between frames; its size does not grow.

    Attributes:
        queries: features of the query points, in groups.
        grouping: how the points were split into them.
        caches: [resolution][iteration] mixer caches.
        memory: query patches and recent logits, of networks with an occlusion head.
    """

    def __init__(
        self,
        network: TapirNetwork,
        queries: QueryFeatures,
        resolutions: int,
        grouping: Grouping,
        memory: OcclusionMemory | None = None,
    ) -> None:
        self.grouping, self.memory = grouping, memory
        tokens = queries.xy.shape[0] * queries.xy.shape[1]
        self.queries = queries
        self.caches: list[list[MixerCache]] = [
            [
                empty_cache(network.config, tokens, queries.xy.device)
                for _ in range(network.config.iterations)
            ]
            for _ in range(resolutions)
        ]

    def copy(self) -> StreamState:
        """Return a copy that later steps leave unchanged: they replace entries and modify none."""
        copied = copy.copy(self)
        copied.caches = [[dict(cache) for cache in level] for level in self.caches]
        copied.memory = copy.copy(self.memory)
        return copied

    def move(self, matrix: np.ndarray, shift: np.ndarray) -> None:
        """Move all remembered positions to another window of the frame.

        Args:
            matrix: (2, 2) rotation and scale from the old window's positions to the new one's.
            shift: (2,) shift after it, in pixels of the network's picture.
        """
        for caches in self.caches:
            for cache in caches:
                for key in POSITION_KEYS & cache.keys():
                    # Numbers of Python need no transfer to a GPU.
                    x, y = cache[key].unbind(-1)
                    moved = [
                        x * float(row[0]) + y * float(row[1]) + float(offset)
                        for row, offset in zip(matrix, shift, strict=True)
                    ]
                    cache[key] = torch.stack(moved, -1)
