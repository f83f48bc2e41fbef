"""Position, occlusion and expected distance from a cost volume (arXiv 2306.08637, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.trackers.tapir.matching import concatenate

CPU_BATCH = 32
"""Cost volumes in one batch on a CPU: the intermediate results fit into its caches."""


class CostVolumeHead(nn.ModuleDict):
    """TAPIR's small convolutions on a point's cost volume."""

    def __init__(self) -> None:
        super().__init__(
            {
                "hid1": nn.Conv2d(1, 16, 3, padding=1),
                "hid2": nn.Conv2d(16, 1, 3, padding=1),
                "hid3": nn.Conv2d(16, 32, 3, 2),
                "hid4": nn.Linear(32, 16),
                "occ_out": nn.Linear(16, 2),
            }
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Read M cost volumes.

        Args:
            maps: (M, h, w).

        Returns:
            (M, h, w) position scores, and (M, 2) logits of occlusion and expected distance.
        """
        batch = CPU_BATCH if maps.device.type == "cpu" else len(maps)
        results = [self._read(part) for part in maps.split(batch)]
        scores, logits = zip(*results, strict=True)
        return concatenate(scores), concatenate(logits)

    def _read(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        x = maps[:, None].contiguous(memory_format=torch.channels_last)
        x = F.relu(self["hid1"](x))
        scores = self["hid2"](x)[:, 0]
        y = F.relu(self["hid3"](F.pad(x, (0, 2, 0, 2)))).mean((2, 3))
        return scores, self["occ_out"](F.relu(self["hid4"](y)))
