"""Eyes that shut in photographs: the lid comes down over an eyeball that stays where it is.

A continuous deformation of the face would squeeze the eyeball with the lids. Here the skin between
the crease and the upper lid's edge is stretched downwards, its edge with the lashes moves as one,
and what it comes to lie upon is covered. The lower lid rises a little to meet it.

Coordinates are those of `geometry`. Along an eye, `a` is -1 and 1 at its corners; across it, `v` is
texture pixels downwards from the line through them. Both lids' edges are curves (1 - a^2)^BEND
times a line, which are 0 at the corners and go through the landmarks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from facetrack.training.signals import Random

EYES = (((36, 39), (37, 38), (41, 40)), ((42, 45), (43, 44), (47, 46)))
"""Of the right and the left eye: corners, upper and lower lid, from left to right."""
BEND = 0.75
LEAST, MOST = 0.08, 0.6
"""How far an eye of a photograph is open, in its width, to be shut."""


class Lid(NamedTuple):
    """One eye of B faces over T frames.

    Attributes:
        origin: (B, 2) texture pixels, between the corners; along, down: (B, 2) unit vectors.
        half: (B,) half of the eye's width, texture pixels.
        upper, lower: (B, 2) constant and slope of the lids' lines.
        closing: (B, T) 0 as photographed, 1 shut.
        form: (B, 6) how it shuts: see `lids`.
    """

    origin: Tensor
    along: Tensor
    down: Tensor
    half: Tensor
    upper: Tensor
    lower: Tensor
    closing: Tensor
    form: Tensor

    def where(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """Texture points (B, ..., 2) as (a, v), each (B, ...)."""
        x, y = (texture - _each(self.origin, texture)).unbind(-1)
        along = x * _each(self.along[:, 0], x) + y * _each(self.along[:, 1], y)
        down = x * _each(self.down[:, 0], x) + y * _each(self.down[:, 1], y)
        return along / _each(self.half, x), down

    def edges(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The upper and the lower lid's edge in the photograph at `a` (B, ...), as `v`."""
        bow = (1 - a * a).clamp_min(0) ** BEND
        upper, lower = (
            bow * (_each(line[:, 0], a) + _each(line[:, 1], a) * a)
            for line in (self.upper, self.lower)
        )
        return upper, torch.maximum(upper, lower)

    def moved(self, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        """Where the edges (B, T, ...) are by how far the eye is shut."""
        open_by = lower - upper
        closing = self.closing.view(*self.closing.shape, *[1] * (upper.ndim - 2))
        rise = _each(self.form[:, 0], upper)
        up = upper + closing * (1 - rise) * open_by
        low = lower - closing.clamp(0, 1) * rise * open_by
        return up, torch.maximum(up, low)

    def close(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """Texture points (B, T, H, W, 2) that pixels show -> the same with the lids where they are,
        and by what their colour is multiplied (B, T, H, W)."""
        a, v = self.where(texture)
        upper, lower = self.edges(a)
        up, low = self.moved(upper, lower)
        crease, strip, bag, dark, line, wide = (_each(x, a) for x in self.form[:, 1:].unbind(1))
        bow = (1 - a * a).clamp_min(0).sqrt()
        size = _each(2 * self.half, a)
        top = upper - crease * size
        strip = strip * size * bow
        # The skin between the crease and the lashes, which themselves keep their shape.
        share = (upper - strip - top) / (up - strip - top).clamp_min(1e-3)
        skin = torch.where(v > up - strip, v - up + upper, top + (v - top) * share)
        source = torch.where((v > top) & (v <= up), skin, v)
        bottom = lower + bag * size
        lower_skin = bottom - (bottom - v) * ((bottom - lower) / (bottom - low).clamp_min(1e-3))
        source = torch.where((v > low) & (v < bottom), lower_skin, source)
        source = torch.where(bow > 0, source, v)
        shown = texture + (source - v)[..., None] * _each(self.down, texture)
        shut = ((up - upper) / (lower - upper).clamp_min(1e-3)).clamp(0, 1)
        depth = ((v - upper) / (up - upper).clamp_min(1e-3)).clamp(0, 1)
        shade = 1 - dark * shut * depth * (v <= up)
        lashes = torch.exp(-(((v - up) / (wide * size)) ** 2))
        return shown, shade * (1 - line * shut * bow * lashes)

    def carry(self, landmarks: Tensor, eye: int) -> Tensor:
        """Landmarks (B, T, 68, 2) with those of this eye's lids moved as `close` shows them."""
        carried = landmarks.clone()
        for indices, kind in zip(EYES[eye][1:], (0, 1), strict=True):
            points = landmarks[:, :, list(indices)]
            a, _ = self.where(points)
            edges = self.edges(a)
            off = self.moved(*edges)[kind] - edges[kind]
            carried[:, :, list(indices)] = points + off[..., None] * _each(self.down, points)
        return carried


def _each(value: Tensor, like: Tensor) -> Tensor:
    """A number (B,) or an arrow (B, 2) of each face, to go with (B, ...) or (B, ..., 2)."""
    if value.ndim == 2:
        return value.view(len(value), *[1] * (like.ndim - 2), 2)
    return value.view(-1, *[1] * (like.ndim - 1))


def lids(random: Random, landmarks: Tensor, closing: Tensor) -> tuple[Lid, Lid]:
    """Both eyes of faces.

    Args:
        landmarks: (B, 68, 2) texture pixels.
        closing: (B, 2, T) of the right and the left eye; eyes that a photograph hardly shows, or
            shows shut, stay as they are.
    """
    batch = len(landmarks)
    form = torch.stack(
        [
            random.uniform(0.05, 0.25, batch),  # by which share the lower lid comes to meet it
            random.uniform(0.2, 0.42, batch),  # height of the skin that is stretched, in widths
            random.uniform(0.01, 0.06, batch),  # of the strip with the lashes
            random.uniform(0.12, 0.3, batch),  # of the skin below the eye
            random.uniform(-0.05, 0.25, batch),  # how dark the lid's curve makes it
            random.uniform(0, 0.5, batch) * random.chance(0.7, batch),  # a line of lashes
            random.uniform(0.012, 0.035, batch),  # its width
        ],
        1,
    )
    made = []
    for eye, (corners, upper, lower) in enumerate(EYES):
        left, right = (landmarks[:, i] for i in corners)
        span = right - left
        width = span.norm(dim=-1).clamp_min(1)
        along = span / width[:, None]
        down = torch.stack([-along[:, 1], along[:, 0]], -1)
        zero = torch.zeros(batch, 2, device=landmarks.device)
        lid = Lid((left + right) / 2, along, down, width / 2, zero, zero, closing[:, eye], form)
        lines = [_line(*lid.where(landmarks[:, list(i)])) for i in (upper, lower)]
        lid = lid._replace(upper=lines[0], lower=lines[1])
        a = torch.zeros(batch, 3, device=landmarks.device) + torch.tensor(
            [-0.4, 0.0, 0.4], device=landmarks.device
        )
        top, bottom = lid.edges(a)
        gap = (bottom - top) / width[:, None]
        usable = (gap.amin(1) > LEAST / 2) & (gap[:, 1] > LEAST) & (gap.amax(1) < MOST)
        made.append(lid._replace(closing=lid.closing * usable[:, None]))
    return made[0], made[1]


def _line(a: Tensor, v: Tensor) -> Tensor:
    """(B, 2) constant and slope of the line by which the bow through two points (B, 2) each is
    multiplied."""
    height = v / (1 - a.clamp(-0.85, 0.85) ** 2) ** BEND
    apart = a[:, 1] - a[:, 0]
    slope = (height[:, 1] - height[:, 0]) / apart.clamp_min(0.3)
    return torch.stack([height.mean(1) - slope * a.mean(1), slope], 1)


def blinks(random: Random, batch: int, frames: int, rate: Tensor) -> Tensor:
    """How far the eyes of faces are shut over time: blinks, long closures, squints and winks.

    Args:
        rate: (B,) frames a second.

    Returns:
        (B, 2, T) 0 to about 1, of the right and the left eye.
    """
    time = torch.arange(frames, device=random.device) / rate[:, None]
    total = torch.zeros(batch, 2, frames, device=random.device)
    span = (frames / rate)[:, None]
    for _ in range(3):
        when = random.uniform(-0.1, 1.0, batch, 1) * span
        shutting = random.uniform(0.06, 0.12, batch, 1)
        opening = random.uniform(0.1, 0.3, batch, 1)
        held = random.uniform(0, 0.08, batch, 1)
        held = held + random.chance(0.15, batch, 1) * random.uniform(0, 1.0, batch, 1)
        down = ((time - when) / shutting).clamp(0, 1)
        up = ((time - when - shutting - held) / opening).clamp(0, 1)
        wave = (1 - torch.cos(math.pi * down)) / 2 - (1 - torch.cos(math.pi * up)) / 2
        most = torch.where(
            random.chance(0.75, batch, 1) > 0,
            random.uniform(0.88, 1.03, batch, 1),
            random.uniform(0.25, 0.9, batch, 1),
        )
        wave = wave * most * random.chance(0.7, batch, 1)
        sides = torch.ones(batch, 2, device=random.device)
        wink = random.chance(0.15, batch)
        other = random.integers(2, batch)
        sides[torch.arange(batch), other] -= wink * random.uniform(0.5, 1, batch)
        total = torch.maximum(total, wave[:, None] * sides[..., None])
    squint = random.uniform(0, 0.45, batch, 1) * random.chance(0.3, batch, 1)
    squint = squint * (0.5 + 0.5 * random.smooth(frames, batch)).clamp(0, 1)
    return torch.maximum(total, squint[:, None].expand_as(total))
