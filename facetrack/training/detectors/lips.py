"""Move the mouths of photographed faces: opened, shut, stretched, puckered, pressed, one corner up.

Each pixel of the new picture samples a place in the photograph: first `mouth`
opens the jaw, then a smooth field reshapes the lips. Landmarks move by the inverse mapping.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.mouth import mouths
from facetrack.training.signals import Random

CHANCE = 0.25
"""Share of the faces whose mouths move."""
JAW_CHANCE = 0.7
"""Share of these faces whose jaw moves as well."""
CORNERS = (48, 54)
MIDDLES = (51, 62, 66, 57)
INVERSION_STEPS = 30
"""Fixed-point iterations that invert the field. They converge because the field is smooth."""


class Lips(NamedTuple):
    """Reshaping of the lips of B faces, in units of half the mouth's width.

    Attributes:
        origin: (B, 2) pixels between the corners of the mouth; along, down: (B, 2) unit vectors.
        half: (B,) pixels, half of the mouth's width.
        stretch: (B,) horizontal share by which sampling moves outwards: positive puckers the lips.
        press: (B,) the vertical share: positive makes the lips thin.
        corners: (B, 2) distance by which the left and the right corner are sampled from above:
            positive lowers a corner, negative raises it.
    """

    origin: Tensor
    along: Tensor
    down: Tensor
    half: Tensor
    stretch: Tensor
    press: Tensor
    corners: Tensor

    def source(self, xy: Tensor) -> Tensor:
        """Return the places in the photograph that the pixels (B, ..., 2) sample."""
        size = _each(self.half, xy)
        away = (xy - _each(self.origin, xy)) / size[..., None]
        along, down = _each(self.along, xy), _each(self.down, xy)
        a, v = (away * along).sum(-1), (away * down).sum(-1)
        wide = torch.exp(-((a / 1.5) ** 2) - (v / 1.1) ** 2)
        near = torch.exp(-((a / 1.1) ** 2) - (v / 0.6) ** 2)
        more_a = _each(self.stretch, xy) * a * wide
        more_v = _each(self.press, xy) * v * near
        for side, corner in zip((-1, 1), self.corners.unbind(1), strict=True):
            bump = torch.exp(-(((a - side) / 0.6) ** 2) - (v / 0.7) ** 2)
            more_v = more_v - _each(corner, xy) * bump
        offset = more_a[..., None] * along + more_v[..., None] * down
        return xy + offset * size[..., None]

    def carry(self, points: Tensor) -> Tensor:
        """Return the pixels at which the places (B, N, 2) of the photograph appear."""
        moved = points
        for _ in range(INVERSION_STEPS):
            moved = moved + 0.7 * (points - self.source(moved))
        return moved


def draw(random: Random, points: Tensor) -> Lips:
    """Draw new shapes for the lips of faces with landmarks (B, 68, 2)."""
    batch = len(points)
    left, right = points[:, CORNERS[0]], points[:, CORNERS[1]]
    width = (right - left).norm(dim=-1).clamp_min(1)
    along = (right - left) / width[:, None]
    down = torch.stack([-along[:, 1], along[:, 0]], -1)
    stretch = random.uniform(-0.2, 0.35, batch) * random.chance(0.6, batch)
    press = random.uniform(-0.15, 0.5, batch) * random.chance(0.5, batch)
    both = random.uniform(-0.15, 0.15, batch, 1) * random.chance(0.4, batch, 1)
    each = random.uniform(-0.15, 0.15, batch, 2) * random.chance(0.3, batch, 1)
    # Faces in profile show only half of the mouth.
    unit = (points[:, 36] - points[:, 45]).norm(dim=-1)
    frontal = ((width > 0.35 * unit) & (width > 12)).float()
    middle = points[:, list(MIDDLES)].mean(1)
    centre = (left + right) / 2
    # The line between the lips may lie above or below that between the corners.
    centre = centre + ((middle - centre) * down).sum(-1, keepdim=True) * down
    return Lips(
        centre,
        along,
        down,
        width / 2,
        stretch * frontal,
        press * frontal,
        (both + each) * frontal[:, None],
    )


def move(
    pictures: Tensor, points: Tensor, random: Random, chance: float | Tensor = CHANCE
) -> tuple[Tensor, Tensor]:
    """Move the mouths of random faces.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        points: (B, 68, 2) pixels, origin at the centre of the top-left pixel.
        chance: share of the faces whose mouths move, or (B,) the chance of each.

    Returns:
        The pictures and the points with the mouths moved.
    """
    chosen = random.chance(chance, len(points)).nonzero()[:, 0]
    if not len(chosen):
        return pictures, points
    pictures, points = pictures.clone(), points.clone()
    height, width = pictures.shape[-2:]
    lips = draw(random, points[chosen])
    carried = lips.carry(points[chosen])
    mouth = mouths(random, carried, 1, torch.ones_like(lips.half), JAW_CHANCE)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=points.device, dtype=points.dtype),
        torch.arange(width, device=points.device, dtype=points.dtype),
        indexing="ij",
    )
    places = torch.stack([columns, rows], -1).expand(len(chosen), -1, -1, -1)
    inside = paint = torch.zeros(1, device=points.device)
    if mouth is not None:
        shown, within, colour = mouth.open(places[:, None])
        places, inside = shown[:, 0], within[:, 0]
        paint = _match_light(pictures[chosen], colour[:, 0])
        carried = mouth.carry(carried, True)[0][:, 0]
    size = torch.tensor([width, height], device=points.device)
    grid = (lips.source(places) + 0.5) * 2 / size - 1
    seen = F.grid_sample(pictures[chosen], grid, padding_mode="border", align_corners=False)
    pictures[chosen] = torch.lerp(seen, paint, inside)
    points[chosen] = carried
    return pictures, points


def _match_light(pictures: Tensor, paint: Tensor) -> Tensor:
    """Adapt colours (B, 3, H, W) to the light of the pictures; grey for grey pictures."""
    mean = pictures.mean((2, 3), keepdim=True)
    hue = (pictures.amax(1) - pictures.amin(1)).mean((1, 2)).view(-1, 1, 1, 1)
    grey = paint.mean(1, keepdim=True)
    paint = torch.lerp(grey.expand_as(paint), paint, (hue / 0.06).clamp(0, 1))
    return (paint * (mean / 0.45).clamp(0.3, 1.2)).clamp(0, 1)


def _each(value: Tensor, like: Tensor) -> Tensor:
    """Reshape (B,) or (B, 2) to broadcast with places (B, ..., 2) or their coordinates."""
    ones = [1] * (like.ndim - 2)
    return value.view(len(value), *ones, *value.shape[1:])
