"""Draw occluders that cross a face: hands, strips and blobs.

Shapes are unions of capsules that move rigidly. They are shaded like round objects, cast a shadow
on the background, and hands may have fingernails.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.geometry import similarity
from facetrack.training.signals import Random

CAPSULES = 6
"""Number of capsules of a shape."""
FINGERS = 5
"""Number of fingers of a hand, which are its first capsules."""


class Occluder(NamedTuple):
    """One occluder for each of B clips of T frames.

    Attributes:
        alpha: (B, T, 1, size, size) opacity.
        shade: (B, T, 1, size, size) factor on the occluder's texture.
        shadow: (B, T, 1, size, size) factor on the background.
        position, angle: (B, T, 2) and (B, T) of the occluder's map.
    """

    alpha: Tensor
    shade: Tensor
    shadow: Tensor
    position: Tensor
    angle: Tensor


def _hand(random: Random, batch: int) -> tuple[Tensor, Tensor]:
    """Draw hands of about unit size, a palm and five fingers, spread or closed.

    Returns:
        Ends (B, C, 2, 2) and radii (B, C) of the capsules.
    """
    spread = random.uniform(0.05, 0.28, batch, 1)
    angle = (torch.arange(5, device=random.device) - 2) * spread + random.normal(batch, 5) * 0.05
    length = random.uniform(0.5, 0.95, batch, 5) * random.uniform(0.5, 1.0, batch, 1)
    across = (torch.arange(5, device=random.device) - 2) * 0.13
    root = torch.stack([across.expand(batch, 5), torch.full((batch, 5), -0.2).to(angle)], -1)
    tip = root + torch.stack([angle.sin(), -angle.cos()], -1) * length[..., None]
    palm = torch.tensor([[[0.0, 0.05], [0.0, 0.45]]], device=random.device)
    ends = torch.cat([torch.stack([root, tip], 2), palm.expand(batch, 1, 2, 2)], 1)
    radii = torch.cat(
        [random.uniform(0.07, 0.11, batch, 5), random.uniform(0.28, 0.4, batch, 1)], 1
    )
    return ends, radii


def _strips(random: Random, batch: int) -> tuple[Tensor, Tensor]:
    """Draw long thin strips side by side: hair, a cable, a pen, spectacles."""
    x = random.uniform(-0.7, 0.7, batch, CAPSULES)
    lean = random.normal(batch, CAPSULES) * 0.2
    half = random.uniform(0.4, 1.5, batch, CAPSULES)
    start = torch.stack([x - lean, -half], -1)
    end = torch.stack([x + lean, half], -1)
    return torch.stack([start, end], 2), random.log_uniform(0.02, 0.12, batch, CAPSULES)


def _blob(random: Random, batch: int) -> tuple[Tensor, Tensor]:
    """Draw blobs of overlapping capsules: a head, a microphone, a cup."""
    ends = random.normal(batch, CAPSULES, 2, 2) * 0.25
    return ends, random.uniform(0.12, 0.5, batch, CAPSULES)


def shapes(random: Random, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a shape of a random kind for each clip.

    Returns:
        Ends (B, CAPSULES, 2, 2) and radii (B, CAPSULES) of the capsules, and (B,) True for hands.
    """
    kinds = [_hand(random, batch), _strips(random, batch), _blob(random, batch)]
    kind = random.integers(4, batch) % 3  # hands twice as often
    rows = torch.arange(batch, device=random.device)
    ends = torch.stack([k[0] for k in kinds])[kind, rows]
    radii = torch.stack([k[1] for k in kinds])[kind, rows]
    return ends, radii, kind == 0


def trajectory(random: Random, batch: int, frames: int, target: Tensor, size: int) -> Tensor:
    """Draw the path (B, T, 2) of a centre that enters, passes `target` (B, 2) and may linger."""
    angle = random.uniform(0, 2 * math.pi, batch)
    way = torch.stack([angle.cos(), angle.sin()], -1)
    meeting = random.uniform(0.05, 1.3, batch, 1) * frames
    speed = random.log_uniform(1, 20, batch, 1) * size / 256
    time = torch.arange(frames, device=random.device) - meeting
    # Slower near the target, because hands rest on faces.
    linger = random.uniform(0, 1, batch, 1) * 4
    along = speed * time.sign() * (time.abs() - linger).clamp_min(0)
    off = (random.normal(batch, 2) * 0.12 * size)[:, None]
    sway = random.smooth(frames, batch, 2).transpose(1, 2) * 0.015 * size
    return target[:, None] + off + way[:, None] * along[..., None] + sway


def draw(
    random: Random, batch: int, frames: int, target: Tensor, extent: Tensor, size: int
) -> Occluder:
    """Draw an occluder for each clip.

    Args:
        random: draws shape and motion.
        batch, frames: B and T.
        target: (B, 2) image point that it passes.
        extent: (B,) its size in image pixels.
        size: side of the image.
    """
    ends, radii, hands = shapes(random, batch)
    position = trajectory(random, batch, frames, target, size)
    angle = random.uniform(0, 2 * math.pi, batch, 1) + 0.25 * random.smooth(frames, batch)
    scale = extent[:, None] * (1 + 0.08 * random.smooth(frames, batch))
    layer = similarity(torch.zeros_like(target), position, scale, angle)
    cells = size // 2
    axis = (torch.arange(cells, device=target.device) + 0.5) * (size / cells)
    lattice = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, 1, -1, 2)
    where = layer.affine(lattice.expand(batch, frames, -1, -1))  # in units of the shape
    distance = torch.full(where.shape[:3], 1e3, device=target.device)
    for c in range(CAPSULES):
        a, b = ends[:, c, 0], ends[:, c, 1]
        radius = radii[:, c, None, None]
        along = (b - a)[:, None, None]
        from_a = where - a[:, None, None]
        share = (from_a * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
        gap = (from_a - share.clamp(0, 1)[..., None] * along).norm(dim=-1) - radius
        distance = torch.minimum(distance, gap)
    edge = random.log_uniform(0.4, 5, batch, 1, 1) * size / 256
    pixels = distance * scale[..., None]
    nails = _nails(random, where, ends, radii, hands)
    shade, shadow = _light(random, pixels.view(batch, frames, cells, cells), size)
    drawn = torch.stack([torch.sigmoid(-pixels / edge), shade * nails, shadow], 2)
    drawn = drawn.view(batch * frames, 3, cells, cells)
    drawn = F.interpolate(drawn, size=(size, size), mode="bilinear", align_corners=False)
    alpha, shade, shadow = drawn.view(batch, frames, 3, 1, size, size).unbind(2)
    return Occluder(alpha, shade, shadow, position, angle)


def _light(random: Random, distance: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Draw light from one side, darker edges and a shadow, each in at least half of the clips.

    Args:
        random: draws their strength.
        distance: (B, T, cells, cells) to the occluder's edge in pixels, negative inside.
        size: side of the image.

    Returns:
        Factors (B, T, cells**2) on the occluder and on the background.
    """
    batch = distance.shape[0]
    step = size / distance.shape[-1]
    depth = (-distance).clamp_min(0)
    fall = random.log_uniform(2, 16, batch, 1, 1, 1) * size / 256
    near = torch.exp(-depth / fall)
    # The gradient of the distance is the direction that a round surface faces.
    down, right = torch.gradient(distance, spacing=step, dim=(-2, -1))
    angle = random.uniform(0, 2 * math.pi, batch, 1, 1, 1)
    facing = angle.cos() * right + angle.sin() * down
    side = random.uniform(0, 0.45, batch, 1, 1, 1) * random.chance(0.7, batch, 1, 1, 1)
    dark = random.uniform(0, 0.5, batch, 1, 1, 1) * random.chance(0.6, batch, 1, 1, 1)
    shade = (1 + side * facing * near) * (1 - dark * near)
    reach = random.log_uniform(1.5, 14, batch, 1, 1, 1) * size / 256
    deep = random.uniform(0, 0.6, batch, 1, 1, 1) * random.chance(0.5, batch, 1, 1, 1)
    shadow = 1 - deep * torch.exp(-distance.clamp_min(0) / reach)
    return shade.flatten(2), shadow.flatten(2)


def _nails(random: Random, where: Tensor, ends: Tensor, radii: Tensor, hands: Tensor) -> Tensor:
    """Return a factor (B, T, P) on a hand's texture that is lighter on fingernails, if it has any.

    Args:
        random: draws which hands show nails, and their brightness.
        where: (B, T, P, 2) in units of the shape.
        ends, radii: of the capsules.
        hands: (B,) True for hands.
    """
    batch = where.shape[0]
    shown = random.chance(0.5, batch) * hands
    lighter = random.uniform(0.05, 0.45, batch) * shown
    nails = torch.zeros_like(where[..., 0])
    for c in range(FINGERS):
        along = ends[:, c, 1] - ends[:, c, 0]
        along = along / along.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        across = torch.stack([-along[:, 1], along[:, 0]], -1)
        radius = radii[:, c, None, None]
        away = (where - ends[:, None, None, c, 1]) / radius[..., None]
        long = (away * along[:, None, None]).sum(-1) / 0.75
        wide = (away * across[:, None, None]).sum(-1) / 0.55
        nails = torch.maximum(nails, torch.sigmoid((1 - (long**2 + wide**2)) * 6))
    return 1 + lighter[:, None, None] * nails
