"""Render opening mouths: a cut along the lips, a jaw that drops below it, and the mouth's inside.

A continuous deformation would only smear the lips apart. Instead the face has two maps that agree
away from the lips: the original map, and a map with a lower jaw. Each image point uses the map on
whose side of the lips it falls. If it falls on neither side, it shows the inside of the mouth.

Coordinates are those of `geometry`. Along the mouth, `a` is -1 and 1 at its inner corners; across
it, `v` is the distance in texture pixels below the line through the corners.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

UPPER, LOWER = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
"""Landmarks of the lips' inner edges, from corner to corner."""
BELOW = (*range(4, 13), *range(55, 60), 65, 66, 67)
"""Landmarks that move with the jaw, wherever the photograph's lips are."""
NEAR = 0.05
"""Distance inside the lips, relative to the distance between the eye corners, up to which a point
still moves with the nearer lip: detectors are no more exact."""
CHANCE = 0.45
"""Fraction of the faces whose mouths move."""
KEEPS_INSIDE = 0.7
"""Fraction of the moving mouths that show the photograph's own inside where it was open."""


class Mouth(NamedTuple):
    """The mouths of B faces over T frames.

    Attributes:
        origin: (B, 2) texture pixels, between the inner corners; along, down: (B, 2) unit vectors.
        half: (B,) half of the inner width; chin: (B,) distance down to the chin; unit: (B,)
            distance between the eye corners; all in texture pixels.
        upper, lower: (B, 5, 2) inner edges of the lips as (a, v), left to right.
        opening: (B, T) texture pixels by which the jaw is lower than in the photograph; negative
            if a mouth that is open in the photograph closes.
        inner: (B, 6) appearance of the inside: see `_paint`.
        keeps: (B,) 1 where the photograph's own inside stays where it is, as far as it is open.
    """

    origin: Tensor
    along: Tensor
    down: Tensor
    half: Tensor
    chin: Tensor
    unit: Tensor
    upper: Tensor
    lower: Tensor
    opening: Tensor
    inner: Tensor
    keeps: Tensor

    def where(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """Convert texture points (B, ..., 2) to (a, v), each (B, ...)."""
        x, y = texture.unbind(-1)
        x, y = x - _each(self.origin[:, 0], x), y - _each(self.origin[:, 1], y)
        along = x * _each(self.along[:, 0], x) + y * _each(self.along[:, 1], y)
        down = x * _each(self.down[:, 0], x) + y * _each(self.down[:, 1], y)
        return along / _each(self.half, x), down

    def edges(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return `v` of the upper and the lower lip's inner edge at `a` (B, ...)."""
        upper, lower = _piecewise(self.upper, a), _piecewise(self.lower, a)
        return upper, torch.maximum(upper, lower)

    def drop(self, a: Tensor, v: Tensor) -> Tensor:
        """Return the displacement of the lower map at texture points (a, v), (B, T, ...)."""
        lips = _lips(a)
        jaw = torch.exp(-(a * a) / 4.5)
        depth = v / _each(self.chin, v)
        share = _step(depth)
        # Below the chin the texture is compressed by as much as the jaw has moved down.
        ends = 1 - _step((depth - 1.1) / 1.2)
        opening = self.opening.view(*self.opening.shape, *[1] * (a.ndim - 2))
        return opening * (lips + (jaw - lips) * share) * ends

    def open(self, texture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Apply the opening to the texture points (B, T, H, W, 2) that the pixels show.

        Returns:
            The texture points with a dropped jaw, the fraction of each pixel inside the mouth
            (B, T, 1, H, W), and the colour inside (B, T, 3, H, W).
        """
        a, v = self.where(texture)
        upper, lower = self.edges(a)
        drop = self.drop(a, v)
        below = v > upper
        way = self.down[:, None, None, None]
        from_top, from_bottom = v - upper, lower - (v - drop)
        inside = (from_top + 0.5).clamp(0, 1) * (from_bottom + 0.5).clamp(0, 1)
        inside = inside * (a.abs() < 1)
        # Upper teeth are fixed to the skull, so the photograph's inside shows with the upper map.
        own = _each(self.keeps, v) * inside * (lower - v - 0.5).clamp(0, 1)
        shown = texture - (drop * below * (own < 0.5))[..., None] * way
        moved = (self.opening != 0).view(*self.opening.shape, 1, 1)
        inside = inside * (1 - own) * moved
        return shown, inside[:, :, None], self._paint(a, from_top, from_bottom)

    def _paint(self, a: Tensor, from_top: Tensor, from_bottom: Tensor) -> Tensor:
        """Paint the inside of the mouth, dark with teeth along the lips and a tongue.

        `inner` contains brightness, height of the upper and the lower teeth, brightness of the
        teeth, length and redness of the tongue.

        Args:
            a, from_top, from_bottom: (B, T, H, W).

        Returns:
            (B, T, 3, H, W).
        """
        unit = _each(self.unit, a)
        top, bottom = from_top / unit, from_bottom / unit
        bright, up, low, white, tongue, red = (_each(x, a) for x in self.inner.unbind(1))
        bow = (1 - a * a).clamp_min(0).sqrt()
        soft = 80.0  # edges of some 0.0125 of the distance between the eye corners
        teeth = torch.maximum(
            ((up * bow - top) * soft).clamp(0, 1), ((low * bow - bottom) * soft).clamp(0, 1)
        )
        between = 0.9 + 0.1 * (a * 12).cos()
        lick = ((tongue * (1 - 2 * a * a).clamp_min(0).sqrt() - bottom) * soft / 3).clamp(0, 1)
        shade = bright * (0.35 + 0.65 * bow)
        colours = []
        for dark, flesh, tooth in ((0.22, 0.75, 1.0), (0.08, 0.35, 0.94), (0.08, 0.36, 0.86)):
            ground = dark + (flesh * red - dark) * lick
            colours.append((ground + (white * tooth * between - ground) * teeth) * shade)
        return torch.stack(colours, 2)

    def carry(self, texture: Tensor, landmarks: bool) -> tuple[Tensor, Tensor]:
        """Move texture points (B, P, 2) with the opening mouth.

        Args:
            texture: (B, P, 2).
            landmarks: True if the points are the 68 landmarks, whose number determines their lip.

        Returns:
            (B, T, P, 2) texture points for the face's own map, and (B, P) bool, True if a point is
            on the face rather than inside the open mouth.
        """
        a, v = self.where(texture)
        upper, lower = self.edges(a)
        if landmarks:
            below = torch.zeros_like(v, dtype=torch.bool)
            below[:, list(BELOW)] = True
            known = torch.ones_like(below)
        else:
            below = v > (upper + lower) / 2
            known = torch.minimum(v - upper, lower - v) < NEAR * self.unit[:, None]
        wanted = v[:, None].expand(-1, self.opening.shape[1], -1)
        at = wanted
        along = a[:, None].expand_as(wanted)
        for _ in range(40):
            at = wanted + self.drop(along, at)
        moved = (at - wanted) * below[:, None]
        return texture[:, None] + moved[..., None] * self.down[:, None, None], known


def _each(value: Tensor, like: Tensor) -> Tensor:
    """Reshape a number per face (B,) to broadcast with (B, ...)."""
    return value.view(-1, *[1] * (like.ndim - 1))


def _lips(a: Tensor) -> Tensor:
    """Return the lips' fraction of the jaw's motion along the mouth."""
    return (1 - a * a).clamp_min(0) ** 0.75


def _step(x: Tensor) -> Tensor:
    """Return a smooth step from 0 at 0 to 1 at 1."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _piecewise(knots: Tensor, a: Tensor) -> Tensor:
    """Interpolate knots (B, 5, 2) of increasing first coordinate at a (B, ...).

    It is constant outside the knots.
    """
    out = _each(knots[:, 0, 1], a)
    for i in range(4):
        width = (knots[:, i + 1, 0] - knots[:, i, 0]).clamp_min(1e-2)
        share = ((a - _each(knots[:, i, 0], a)) / _each(width, a)).clamp(0, 1)
        out = out + share * _each(knots[:, i + 1, 1] - knots[:, i, 1], a)
    return out


def mouths(
    random: Random, landmarks: Tensor, frames: int, amount: Tensor, chance: float = CHANCE
) -> Mouth | None:
    """Draw mouths that open and close; None if none of them moves.

    Args:
        landmarks: (B, 68, 2) texture pixels.
        amount: (B,) maximum opening from 0 to 1; 0 leaves a mouth unchanged.
        chance: probability that a mouth moves.
    """
    batch = len(landmarks)
    left, right = landmarks[:, 60], landmarks[:, 64]
    span = right - left
    width = span.norm(dim=-1).clamp_min(1)
    along = span / width[:, None]
    down = torch.stack([-along[:, 1], along[:, 0]], -1)
    unit = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)
    origin = (left + right) / 2
    chin = ((landmarks[:, 8] - origin) * down).sum(-1)

    # A wide, slow yawn or laugh, or speech, which is quick and small.
    speech = random.chance(0.5, batch, 1)
    slow = random.smooth(frames, batch, slowest=60, fastest=8)
    quick = random.smooth(frames, batch, slowest=25, fastest=5)
    wave = slow + speech * (quick - slow)
    most = random.uniform(0.08, 0.5, batch, 1) * (1 - 0.6 * speech)
    share = (0.35 + 0.6 * wave).clamp(0, 1)
    most = torch.minimum(most * unit[:, None], 0.6 * chin.clamp_min(0)[:, None])
    # Faces in profile do not show both halves of the mouth.
    frontal = (width > 0.35 * unit) & (chin > 0.25 * unit)
    moves = random.chance(chance, batch) * frontal * amount
    shuts = random.chance(0.5, batch)

    brightness = random.uniform(0.6, 1.2, batch, 1)
    teeth = torch.cat(
        [
            random.uniform(0, 0.12, batch, 1) * random.chance(0.7, batch, 1),
            random.uniform(0, 0.07, batch, 1) * random.chance(0.3, batch, 1),
            random.uniform(0.55, 0.95, batch, 1),
        ],
        1,
    )
    tongue = torch.cat(
        [
            random.uniform(0.05, 0.2, batch, 1) * random.chance(0.6, batch, 1),
            random.uniform(0.6, 1.1, batch, 1),
        ],
        1,
    )
    if not moves.any():
        return None
    mouth = Mouth(
        origin,
        along,
        down,
        width / 2,
        chin.clamp_min(1),
        unit,
        landmarks[:, :5],
        landmarks[:, :5],
        most * share,
        torch.cat([brightness, teeth, tongue], 1),
        torch.ones_like(width),
    )

    def edge(indices: tuple[int, ...]) -> Tensor:
        return torch.stack(mouth.where(landmarks[:, list(indices)]), -1)

    mouth = mouth._replace(upper=edge(UPPER), lower=edge(LOWER))
    # The jaw may rise until the lips touch at the three inner landmarks.
    inner = mouth.upper[:, 1:4, 0]
    top, bottom = mouth.edges(inner)
    room = ((bottom - top) / _lips(inner).clamp_min(0.1)).amin(1) * 0.9 * shuts
    opening = (most * share - room[:, None] * (1 - share)) * moves[:, None]
    # A mouth that does not move is left as it is.
    keeps = 1 - (1 - random.chance(KEEPS_INSIDE, batch)) * (moves != 0)
    return mouth._replace(opening=opening, keeps=keeps)


def to_texture(grid: Tensor) -> Tensor:
    """Convert sampling grids in [-1, 1] to texture pixels."""
    return (grid + 1) * (SIDE / 2)


def to_grid(texture: Tensor) -> Tensor:
    """Convert texture pixels to sampling grids in [-1, 1]."""
    return texture * (2 / SIDE) - 1
