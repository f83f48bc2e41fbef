"""Cover parts of faces with hands, objects, masks and smoke."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.crops import SIZE
from facetrack.training import occluders
from facetrack.training.geometry import pixel_grid, sample, similarity
from facetrack.training.render import skin_textures
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

OBJECT_CHANCES = (0.65, 0.25)
"""Chances of a first and of a second hand or object."""
GROUP = 4
"""Number of faces whose objects have the same kind of texture."""
MASK_CHANCE, SMOKE_CHANCE = 0.1, 0.08
DENSE_SMOKE = 0.75
"""Density of smoke from which on a landmark counts as invisible."""


def cover(
    pictures: Tensor, points: Tensor, photographs: Tensor, random: Random
) -> tuple[Tensor, Tensor]:
    """Cover parts of some faces.

    Args:
        pictures: (B, 3, SIZE, SIZE).
        points: (B, 68, 2) landmarks in pixels, origin at the centre of the top-left pixel.
        photographs: (P, 3, SIDE, SIDE) uint8 textures of objects.
        random: source of randomness.

    Returns:
        The pictures, and (B, 68) float32, 1 where a landmark is visible.
    """
    corner = points + 0.5
    visible = ((corner > 0) & (corner < SIZE)).all(-1).float()
    for chance in OBJECT_CHANCES:
        pictures, alpha = _add_object(pictures, corner, photographs, random, chance)
        visible = visible * (_at(alpha, corner) < 0.5)
    pictures, alpha = _add_mask(pictures, corner, random)
    visible = visible * (_at(alpha, corner) < 0.5)
    pictures, density = _add_smoke(pictures, random)
    return pictures, visible * (_at(density, corner) < DENSE_SMOKE)


def _add_object(
    pictures: Tensor, corner: Tensor, photographs: Tensor, random: Random, chance: float
) -> tuple[Tensor, Tensor]:
    """Draw a hand or an object over a random landmark of some faces.

    Returns:
        The pictures and the opacity (B, 1, SIZE, SIZE).
    """
    covered = pictures.clone()
    opacity = torch.zeros_like(pictures[:, :1])
    chosen = random.chance(chance, len(pictures)).nonzero()[:, 0]
    for index in chosen.split(GROUP) if len(chosen) else ():
        shown, points, batch = pictures[index], corner[index], len(index)
        target = points[torch.arange(batch, device=points.device), random.integers(68, batch)]
        face = (points.amax(1) - points.amin(1)).amax(1)
        extent = face * random.log_uniform(0.15, 1.1, batch)
        thing = occluders.draw(random, batch, 1, target, extent, SIZE)
        moving = similarity(
            torch.full_like(target, SIDE / 2),
            thing.position,
            random.log_uniform(0.4, 1.5, batch, 1),
            thing.angle,
        )
        texture = _draw_textures(shown, points, photographs, random)
        paint = sample(texture, pixel_grid(moving, SIZE), "reflection") * thing.shade
        alpha = thing.alpha[:, 0]
        covered[index] = torch.lerp(shown * thing.shadow[:, 0], paint[:, 0].clamp(0, 1), alpha)
        opacity[index] = alpha
    return covered, opacity


def _draw_textures(pictures: Tensor, corner: Tensor, photographs: Tensor, random: Random) -> Tensor:
    """Draw textures (B, 3, SIDE, SIDE), all of skin, of objects, of faces, or of one colour."""
    batch, kind = len(pictures), int(random.integers(5, 1))
    if kind == 0:
        index = random.integers(len(photographs), batch)
        return photographs[index].float() / 255
    if kind == 1:
        uneven = F.interpolate(random.normal(batch, 1, 7, 7), size=(SIDE, SIDE), mode="bicubic")
        return (random.uniform(0, 1, batch, 3, 1, 1) + 0.06 * uneven).clamp(0, 1)
    enlarged = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", align_corners=False)
    if kind == 2:
        return enlarged.roll(1, 0).flip(2)
    return skin_textures(random, enlarged, corner * (SIDE / SIZE))


def _add_mask(pictures: Tensor, corner: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Put a cloth mask over nose, mouth and chin of some faces.

    Returns:
        The pictures and the opacity (B, 1, SIZE, SIZE).
    """
    batch = len(pictures)
    chosen = random.chance(MASK_CHANCE, batch, 1, 1, 1)
    ear, bridge = 2 + int(random.integers(2, 1)), 28 + int(random.integers(2, 1))
    outline = torch.cat([corner[:, ear : 17 - ear], corner[:, bridge : bridge + 1]], 1)
    centre = outline.mean(1, keepdim=True)
    outline = centre + (outline - centre) * random.uniform(1.0, 1.12, batch, 1, 1)
    axis = torch.arange(SIZE // 2, device=corner.device) * 2.0 + 1
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    # A point is inside if a ray to its right crosses an odd number of edges.
    odd = torch.zeros(batch, *x.shape, dtype=torch.bool, device=corner.device)
    for a, b in zip(outline.unbind(1), outline.roll(-1, 1).unbind(1), strict=True):
        ax, ay, bx, by = (v[:, None, None] for v in (a[:, 0], a[:, 1], b[:, 0], b[:, 1]))
        height = torch.where((by - ay).abs() < 1e-6, torch.full_like(ay, 1e-6), by - ay)
        odd ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / height * (bx - ax))
    alpha = F.interpolate(odd[:, None].float(), scale_factor=2, mode="bilinear") * chosen
    folds = F.interpolate(random.normal(batch, 1, 12, 4), size=(SIZE, SIZE), mode="bicubic")
    cloth = random.uniform(0.05, 1, batch, 3, 1, 1) * (1 + 0.08 * folds)
    return torch.lerp(pictures, cloth.clamp(0, 1), alpha), alpha


def _add_smoke(pictures: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Draw smoke or glare in front of some faces.

    Returns:
        The pictures and the density (B, 1, SIZE, SIZE).
    """
    batch = len(pictures)
    coarse = random.uniform(-0.6, 1.2, batch, 1, 4, 4)
    cloud = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=False)
    density = cloud.clamp(0, 1) * random.uniform(0.3, 1, batch, 1, 1, 1)
    density = density * random.chance(SMOKE_CHANCE, batch, 1, 1, 1)
    colour = random.uniform(0.3, 1, batch, 1, 1, 1) + 0.03 * random.normal(batch, 3, 1, 1)
    return torch.lerp(pictures, colour.clamp(0, 1), density), density


def _at(maps: Tensor, corner: Tensor) -> Tensor:
    """Sample maps (B, 1, SIZE, SIZE) at points (B, N, 2), to (B, N)."""
    grid = (corner / SIZE * 2 - 1)[:, :, None]
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, 0, :, 0]
