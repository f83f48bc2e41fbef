"""Degrade clips as cameras and codecs do: light, blur, noise, block artefacts.

All functions take and return clips (B, T, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.signals import Random


def light(video: Tensor, random: Random) -> Tensor:
    """Change gain, gamma and colour cast, and add flicker and slowly moving uneven light."""
    batch, frames = video.shape[:2]
    gamma = random.log_uniform(0.65, 1.6, batch, 1, 1, 1, 1)
    gain = random.uniform(0.65, 1.25, batch, 1, 1, 1, 1)
    dark = random.chance(0.12, batch, 1, 1, 1, 1)
    gain = gain * (1 - dark * random.uniform(0.4, 0.8, batch, 1, 1, 1, 1))
    cast = 1 + 0.08 * random.normal(batch, 1, 3, 1, 1)
    flicker = 1 + 0.06 * random.chance(0.4, batch, 1) * random.smooth(frames, batch, fastest=3)
    uneven = random.normal(batch, 3, 1, 5, 5) * random.chance(0.5, batch, 1, 1, 1, 1) * 0.18
    waves = random.smooth(frames, batch, 3)
    field = torch.einsum("bkt,bkcyx->btcyx", waves, uneven).flatten(0, 1)
    field = F.interpolate(field, size=video.shape[-2:], mode="bilinear", align_corners=True)
    factor = gain * cast * flicker[..., None, None, None] * (1 + field.unflatten(0, (batch, -1)))
    return (video.clamp_min(1e-4) ** gamma * factor).clamp(0, 1)


def highlights(video: Tensor, random: Random) -> Tensor:
    """Add specular spots that slide over the image, in a fifth of the clips."""
    batch, frames, _, height, width = video.shape
    if not bool(random.chance(0.2, 1)):
        return video
    centre = random.uniform(0.3, 0.7, batch, 2, 2)[:, None] * height
    centre = centre + random.smooth(frames, batch, 2, 2).permute(0, 3, 1, 2) * 12
    y = torch.arange(height, device=video.device) - centre[..., 1:] + 0.5
    x = torch.arange(width, device=video.device) - centre[..., :1] + 0.5
    spread = random.log_uniform(2, 12, batch, 1, 2, 1)
    spots = torch.einsum(
        "btkh,btkw->bthw", torch.exp(-((y / spread) ** 2) / 2), torch.exp(-((x / spread) ** 2) / 2)
    )
    strength = random.uniform(0, 0.6, batch, 1, 1, 1, 1)
    return (video + spots[:, :, None] * strength).clamp(0, 1)


def motion_blur(video: Tensor, velocity: Tensor, random: Random) -> Tensor:
    """Average along the motion (B, T, 2) in px per frame, as an open shutter does."""
    batch, _, _, height, width = video.shape
    if not bool(random.chance(0.3, 1)):
        return video
    shutter = random.uniform(0, 0.5, batch, 1, 1) * velocity
    axis_y = (torch.arange(height, device=video.device) + 0.5) * 2 / height - 1
    axis_x = (torch.arange(width, device=video.device) + 0.5) * 2 / width - 1
    base = torch.stack(torch.meshgrid(axis_x, axis_y, indexing="xy"), -1)
    total = video
    for step in (-1, 1):
        shift = (step * shutter * 2 / height).view(-1, 1, 1, 2)
        moved = F.grid_sample(
            video.flatten(0, 1), base + shift, padding_mode="border", align_corners=False
        )
        total = total + moved.view_as(video)
    return total / 3


def blur(video: Tensor, sigma: float) -> Tensor:
    """Apply a Gaussian blur, renormalised at the borders.

    It is computed as two products with a banded matrix, which is far faster on a CPU than depthwise
    convolutions.
    """

    def band(size: int) -> Tensor:
        index = torch.arange(size, device=video.device, dtype=video.dtype)
        weights = torch.exp(-((index[:, None] - index) ** 2) / (2 * sigma * sigma))
        return weights / weights.sum(1, keepdim=True)

    return band(video.shape[-2]) @ video @ band(video.shape[-1]).T


def soften(video: Tensor, random: Random) -> Tensor:
    """Simulate defocus or a low resolution, the same for all clips of the batch."""
    height, width = video.shape[-2:]
    kind = float(random.uniform(0, 1, 1))
    if kind < 0.15:
        return blur(video, float(random.log_uniform(0.5, 2.5, 1)))
    if kind < 0.5:
        share = float(random.log_uniform(0.22, 0.9, 1))
        flat = video.flatten(0, 1)
        small = F.interpolate(
            flat, scale_factor=share, mode="bilinear", antialias=True, align_corners=False
        )
        flat = F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
        return flat.view_as(video)
    return video


def noise(video: Tensor, random: Random) -> Tensor:
    """Add sensor noise of random strength to most clips."""
    batch = video.shape[0]
    sigma = random.log_uniform(0.002, 0.07, batch, 1, 1, 1, 1)
    grain = random.normal(*video.shape)
    return (video + sigma * random.chance(0.7, batch, 1, 1, 1, 1) * grain).clamp(0, 1)


def _dct_matrix(device: torch.device) -> Tensor:
    k, n = torch.meshgrid(*[torch.arange(8, device=device)] * 2, indexing="ij")
    rows = torch.cos(math.pi * (2 * n + 1) * k / 16) * 0.5
    rows[0] /= math.sqrt(2)
    return rows


def blocks(video: Tensor, random: Random) -> Tensor:
    """Quantise the DCT of 8 x 8 blocks as JPEG and video codecs do, in a quarter of the batches."""
    batch, frames, channels, height, width = video.shape
    if not bool(random.chance(0.25, 1)):
        return video
    dct = _dct_matrix(video.device)
    tiles = video.reshape(-1, height // 8, 8, width // 8, 8).transpose(2, 3)
    spectrum = dct @ tiles @ dct.T
    frequency = torch.arange(8, device=video.device)
    step = (1 + 0.8 * (frequency[:, None] + frequency)) / 255
    strength = random.log_uniform(3, 24, batch, 1).expand(batch, frames * channels).reshape(-1)
    step = step * strength.view(-1, 1, 1, 1, 1)
    spectrum = (spectrum / step).round() * step
    tiles = dct.T @ spectrum @ dct
    return tiles.transpose(2, 3).reshape(video.shape).clamp(0, 1)
