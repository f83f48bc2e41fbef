"""Place landmarks as well and as badly as detectors and trackers do."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from facetrack.identity.shape_model import ShapeModel
from facetrack.training.signals import Random


def misplace(true: Tensor, shape: ShapeModel, random: Random) -> Tensor:
    """Displace landmarks.

    Errors of detectors are smooth over the face and keep its shape plausible; so most are drawn
    along the modes of the shape model. Some faces are placed with a wrong position, size or roll,
    some landmarks on their own, and some faces have the shape of another face.

    Args:
        true: (B, 68, 2) true landmarks in pixels.
        shape: the distribution of shapes.

    Returns:
        (B, 68, 2).
    """
    batch = len(true)
    modes = torch.from_numpy(np.asarray(shape.modes, np.float32)).to(true)
    deviation = torch.from_numpy(np.sqrt(shape.variances).astype(np.float32)).to(true)
    span = true[:, 45] - true[:, 36]
    unit = span.norm(dim=-1).clamp_min(1)[:, None, None]

    # Displacements in units of the face, upright.
    amount = random.log_uniform(0.05, 1.2, batch, 1) * random.chance(0.8, batch, 1)
    plausible = torch.einsum(
        "bk,knx->bnx", amount * deviation * random.normal(batch, len(deviation)), modes
    )
    single = random.log_uniform(0.002, 0.06, batch, 1, 1) * random.normal(batch, 68, 2)
    wild = random.chance(0.04, batch, 68, 1) * random.chance(0.4, batch, 1, 1)
    single = single + wild * random.normal(batch, 68, 2) * 0.15
    part = random.chance(0.25, batch, 1, 1) * _displace_part(batch, random, true)
    along = span / unit[:, 0]
    axes = torch.stack([along, torch.stack([-along[:, 1], along[:, 0]], -1)], 1)
    placed = true + (plausible + single + part) @ axes * unit

    # A wrong placement of the whole face.
    wrong = random.chance(0.3, batch, 1, 1)
    centre = true.mean(1, keepdim=True)
    turned = random.normal(batch) * 0.2
    side_on = random.chance(0.25, batch) * (1 + random.integers(3, batch)) * (math.pi / 2)
    angle = turned + side_on
    size = (random.normal(batch) * 0.12).exp()
    cos, sin = angle.cos() * size, angle.sin() * size
    matrix = torch.stack([cos, sin, -sin, cos], -1).view(batch, 2, 2)
    shift = random.normal(batch, 1, 2) * random.log_uniform(0.01, 0.4, batch, 1, 1) * unit
    other = (placed - centre) @ matrix + centre + shift
    return torch.lerp(placed, other, wrong)


def _displace_part(batch: int, random: Random, true: Tensor) -> Tensor:
    """Draw a common displacement (B, 68, 2), in units of the face, of one part of each face."""
    starts = torch.tensor([0, 5, 12, 17, 22, 27, 36, 42, 48, 60], device=true.device)
    ends = torch.tensor([5, 12, 17, 22, 27, 36, 42, 48, 68, 68], device=true.device)
    chosen = random.integers(len(starts), batch)
    index = torch.arange(68, device=true.device)
    inside = (index >= starts[chosen, None]) & (index < ends[chosen, None])
    way = random.normal(batch, 1, 2) * random.log_uniform(0.02, 0.25, batch, 1, 1)
    return inside[..., None] * way
