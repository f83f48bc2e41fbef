"""What a TAPIR network remembers of the points of a stream, and how many points are grouped."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from facetrack.trackers.tapir.mixer import MixerCache, empty_cache
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.occlusion import Memory
from facetrack.trackers.tapir.types import POSITIONS, Queries

TOGETHER = 512
"""Points that know of each other, at most: what each makes of all others costs the square of it."""


@dataclass(frozen=True)
class Grouping:
    """How N points, or G groups of them, are tracked in groups that are not too large.

    Attributes:
        lead: () where one group answers without an axis for groups, else (G,).
        count: N.
        parts: groups that N points are spread over. Each has every so-manieth point, so that all
            of them see the whole face; the first points fill up the last group.
    """

    lead: tuple[int, ...]
    count: int
    parts: int

    @staticmethod
    def of(points: np.ndarray) -> Grouping:
        """For points (N, 2) or (G, N, 2)."""
        count = points.shape[-2]
        return Grouping(points.shape[:-2], count, max(1, -(-count // TOGETHER)))

    def split(self, points: np.ndarray) -> np.ndarray:
        """(..., N, 2) -> (G * parts, n, 2)."""
        size = -(-self.count // self.parts)
        filled = points[..., np.arange(size * self.parts) % self.count, :]
        apart = filled.reshape(-1, size, self.parts, points.shape[-1]).swapaxes(1, 2)
        return apart.reshape(-1, size, points.shape[-1])

    def join(self, values: Tensor) -> Tensor:
        """(G * parts, n, ...) -> (..., N, ...)."""
        apart = values.unflatten(0, (-1, self.parts)).transpose(1, 2).flatten(1, 2)
        return apart[:, : self.count].reshape(*self.lead, self.count, *values.shape[2:])


class StreamState:
    """What a causal network remembers between frames: its size does not grow.

    Attributes:
        queries: features of the query points, in groups.
        grouping: how the points were split into them.
        caches: [resolution][iteration] mixer caches.
        memory: what doubtful points are compared with, of networks that look at them again.
    """

    def __init__(
        self,
        network: TapirNetwork,
        queries: Queries,
        resolutions: int,
        grouping: Grouping,
        memory: Memory | None = None,
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
        """The state as it is: steps put new entries into it, and change none."""
        same = copy.copy(self)
        same.caches = [[dict(cache) for cache in level] for level in self.caches]
        same.memory = copy.copy(self.memory)
        return same

    def move(self, matrix: np.ndarray, shift: np.ndarray) -> None:
        """Tell that the next frames show what the last ones did, turned and scaled by (2, 2), then
        shifted by (2,) pixels of RESOLUTION: the positions that are remembered move along."""
        for caches in self.caches:
            for cache in caches:
                for key in POSITIONS & cache.keys():
                    turned = cache[key] @ cache[key].new_tensor(matrix.T)
                    cache[key] = turned + cache[key].new_tensor(shift)
