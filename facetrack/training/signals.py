"""Seeded random draws and smooth random functions of time, which drive all rendered motion."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Random:
    """Seeded random draws on a device. All shapes are explicit."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(seed)
        self.gap = 0
        """Number of frames left out after the first in functions drawn by `smooth`."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw uniformly from [low, high)."""
        draw = torch.rand(*shape, generator=self.generator, device=self.device)
        return low + (high - low) * draw

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw log-uniformly from [low, high)."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """Draw 1 with the given probability, otherwise 0, as float32."""
        return (self.uniform(0, 1, *shape) < probability).float()

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw integers uniformly from 0 to high - 1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def smooth(self, frames: int, *shape: int, slowest: float = 90, fastest: float = 8) -> Tensor:
        """Draw sums of three sinusoids of about unit variance, (*shape, frames).

        `slowest` and `fastest` are periods in frames. Fast components are weaker, as in real
        motion.
        """
        period = self.log_uniform(fastest, slowest, *shape, 3)
        phase = self.uniform(0, 2 * math.pi, *shape, 3)
        size = self.uniform(0.3, 1, *shape, 3) * (period / slowest).sqrt() * 1.4
        time = torch.arange(frames, device=self.device)
        time = time + self.gap * (time > 0)
        waves = torch.sin(2 * math.pi * time / period[..., None] + phase[..., None])
        return (size[..., None] * waves).sum(-2)
