"""Smooth random functions of time, the hand that moves everything a renderer draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Random:
    """Seeded draws on a device; every shape is explicit, every draw advances the seed's stream."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device)
        self.generator.manual_seed(seed)
        self.gap = 0
        """Frames left out after the first, of all that moves by `smooth`."""

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high)."""
        draw = torch.rand(*shape, generator=self.generator, device=self.device)
        return low + (high - low) * draw

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Log-uniform in [low, high)."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """float32 0 or 1; 1 with the given probability."""
        return (self.uniform(0, 1, *shape) < probability).float()

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform in 0 .. high - 1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def smooth(self, frames: int, *shape: int, slowest: float = 90, fastest: float = 8) -> Tensor:
        """(*shape, frames): sums of three sinusoids of about unit variance.

        `slowest` and `fastest` are periods in frames; fast parts are weaker, as in real motion.
        """
        period = self.log_uniform(fastest, slowest, *shape, 3)
        phase = self.uniform(0, 2 * math.pi, *shape, 3)
        size = self.uniform(0.3, 1, *shape, 3) * (period / slowest).sqrt() * 1.4
        time = torch.arange(frames, device=self.device)
        time = time + self.gap * (time > 0)
        waves = torch.sin(2 * math.pi * time / period[..., None] + phase[..., None])
        return (size[..., None] * waves).sum(-2)
