"""What TAPIR reads from how well a point matches each cell of a frame (arXiv 2306.08637, 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.trackers.tapir.matching import joined

AT_ONCE = 32
"""Cost volumes that small convolutions read at once on a CPU: what they make of them fits into its
caches."""


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
        """(M, h, w) -> position scores (M, h, w), occlusion and expected distance logits (M, 2)."""
        at_once = AT_ONCE if maps.device.type == "cpu" else len(maps)
        found = [self._read(part) for part in maps.split(at_once)]
        scores, logits = zip(*found, strict=True)
        return joined(scores), joined(logits)

    def _read(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        x = maps[:, None].contiguous(memory_format=torch.channels_last)
        x = F.relu(self["hid1"](x))
        scores = self["hid2"](x)[:, 0]
        y = F.relu(self["hid3"](F.pad(x, (0, 2, 0, 2)))).mean((2, 3))
        return scores, self["occ_out"](F.relu(self["hid4"](y)))
