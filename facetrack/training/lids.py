"""Shut the eyes of photographs, and let them look elsewhere.

The lid comes down over an eyeball that does not move with it.

A continuous deformation of the face would squeeze the eyeball with the lids. Here the skin between
the crease and the upper lid's edge is stretched downwards. The edge with the lashes moves rigidly
and covers the eyeball. The lower lid rises a little to meet it. Where an eye looks elsewhere, what
lies between the lids moves, and the lids stay.

Coordinates are those of `geometry`. Along an eye, `a` is -1 and 1 at its corners; across it, `v` is
texture pixels downwards from the line through them. Both lids' edges are curves
(1 - a^2)^LID_EXPONENT times a line, which are 0 at the corners and pass through the landmarks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from facetrack.training.signals import Random

EYES = (((36, 39), (37, 38), (41, 40)), ((42, 45), (43, 44), (47, 46)))
"""Landmarks of the right and the left eye: corners, upper and lower lid, from left to right."""
LID_EXPONENT = 0.75
"""Exponent of the lids' curves."""
MIN_OPENING, MAX_OPENING = 0.08, 0.6
"""Range of openings, in widths of the eye, in which a photographed eye can be shut."""
MAX_GAZE = (0.45, 0.18)
"""Farthest that the middle of an eyeball moves to each side, in halves of the eye's width, and up
and down, in heights of the open eye. At half, and a quarter, the picture would fold."""
GAZE_CHANCE, FIXATIONS, SACCADE_S = 0.6, 4, 0.04
"""Share of the clips in which eyes look elsewhere, how often at most, and how fast."""


class Lid(NamedTuple):
    """One eye of B faces over T frames.

    Attributes:
        origin: (B, 2) midpoint between the corners, texture pixels.
        along, down: (B, 2) unit vectors along and across the eye.
        half: (B,) half of the eye's width, texture pixels.
        upper, lower: (B, 2) intercept and slope of the lids' lines.
        closing: (B, T) 0 as photographed, 1 shut.
        gaze: (B, 2, T) how far the eyeball has turned along and across the eye, in units of
            MAX_GAZE.
        form: (B, 7) parameters of the lids' shape, drawn by `draw_lids`.
    """

    origin: Tensor
    along: Tensor
    down: Tensor
    half: Tensor
    upper: Tensor
    lower: Tensor
    closing: Tensor
    gaze: Tensor
    form: Tensor

    def to_eye(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """Convert texture points (B, ..., 2) to `a` and `v`, (B, ...) each."""
        x, y = (texture - _each(self.origin, texture)).unbind(-1)
        along = x * _each(self.along[:, 0], x) + y * _each(self.along[:, 1], y)
        down = x * _each(self.down[:, 0], x) + y * _each(self.down[:, 1], y)
        return along / _each(self.half, x), down

    def edges(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return `v` of the upper and the lower edge in the photograph at `a` (B, ...)."""
        bow = (1 - a * a).clamp_min(0) ** LID_EXPONENT
        upper, lower = (
            bow * (_each(line[:, 0], a) + _each(line[:, 1], a) * a)
            for line in (self.upper, self.lower)
        )
        return upper, torch.maximum(upper, lower)

    def move_edges(self, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        """Return the edges (B, T, ...) moved by how far the eye is shut."""
        open_by = lower - upper
        closing = _each_frame(self.closing, upper)
        rise = _each(self.form[:, 0], upper)
        up = upper + closing * (1 - rise) * open_by
        low = lower - closing.clamp(0, 1) * rise * open_by
        return up, torch.maximum(up, low)

    def close(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """Shut the eye.

        Args:
            texture: (B, T, H, W, 2) texture points that pixels show.

        Returns:
            The texture points that pixels show with the lids moved, and the factor (B, T, H, W) of
            their colours.
        """
        a, v = self.to_eye(texture)
        upper, lower = self.edges(a)
        up, low = self.move_edges(upper, lower)
        crease, strip, bag, dark, line, wide = (_each(x, a) for x in self.form[:, 1:].unbind(1))
        bow = (1 - a * a).clamp_min(0).sqrt()
        size = _each(2 * self.half, a)
        top = upper - crease * size
        strip = strip * size * bow
        # Stretch the skin between the crease and the lashes. The lashes keep their shape.
        share = (upper - strip - top) / (up - strip - top).clamp_min(1e-3)
        skin = torch.where(v > up - strip, v - up + upper, top + (v - top) * share)
        source = torch.where((v > top) & (v <= up), skin, v)
        bottom = lower + bag * size
        lower_skin = bottom - (bottom - v) * ((bottom - lower) / (bottom - low).clamp_min(1e-3))
        source = torch.where((v > low) & (v < bottom), lower_skin, source)
        source = torch.where(bow > 0, source, v)
        open_by = (lower - upper).clamp_min(1e-3)
        aside, across = self._look(a, v - upper, open_by, (v > up) & (v < low))
        shown = texture + (source - v + across)[..., None] * _each(self.down, texture)
        shown = shown + (aside * _each(self.half, a))[..., None] * _each(self.along, texture)
        shut = ((up - upper) / open_by).clamp(0, 1)
        depth = ((v - upper) / (up - upper).clamp_min(1e-3)).clamp(0, 1)
        shade = 1 - dark * shut * depth * (v <= up)
        lashes = torch.exp(-(((v - up) / (wide * size)) ** 2))
        return shown, shade * (1 - line * shut * bow * lashes)

    def _look(
        self, a: Tensor, below: Tensor, open_by: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the changes of `a` and `v` (B, T, H, W) that show an eye that looks elsewhere.

        Args:
            a: (B, T, H, W) of the pixels.
            below: (B, T, H, W) how far below the upper edge in the photograph they are.
            open_by: (B, T, H, W) height of the open eye there.
            seen: (B, T, H, W) bool, where the eyeball shows.
        """
        depth = (below / open_by).clamp(0, 1)
        # The lids' edges, and the corners, stay.
        within = 4 * depth * (1 - depth) * seen
        along, across = (
            limit * _each_frame(self.gaze[:, i], a) for i, limit in enumerate(MAX_GAZE)
        )
        aside = -along * (1 - a * a).clamp_min(0) * (1.5 * within).clamp(max=1)
        return aside, -across * open_by * within

    def carry(self, landmarks: Tensor, eye: int) -> Tensor:
        """Return landmarks (B, T, 68, 2) with this eye's lids moved as by `close`."""
        carried = landmarks.clone()
        for indices, edge in zip(EYES[eye][1:], (0, 1), strict=True):
            points = landmarks[:, :, list(indices)]
            a, _ = self.to_eye(points)
            edges = self.edges(a)
            off = self.move_edges(*edges)[edge] - edges[edge]
            carried[:, :, list(indices)] = points + off[..., None] * _each(self.down, points)
        return carried


def _each(value: Tensor, like: Tensor) -> Tensor:
    """Reshape scalars (B,) or vectors (B, 2) to broadcast with (B, ...) or (B, ..., 2)."""
    if value.ndim == 2:
        return value.view(len(value), *[1] * (like.ndim - 2), 2)
    return value.view(-1, *[1] * (like.ndim - 1))


def _each_frame(value: Tensor, like: Tensor) -> Tensor:
    """Reshape scalars (B, T) to broadcast with (B, T, ...)."""
    return value.reshape(*value.shape, *[1] * (like.ndim - 2))


def draw_lids(
    random: Random, landmarks: Tensor, closing: Tensor, gaze: Tensor | None = None
) -> tuple[Lid, Lid]:
    """Draw the lids of both eyes.

    Args:
        random: source of randomness.
        landmarks: (B, 68, 2) texture pixels.
        closing: (B, 2, T) how far the right and the left eye shut. Eyes that are hardly visible, or
            shut in the photograph, stay unchanged.
        gaze: (B, 2, T) where both look; see `Lid`. None: as in the photograph.
    """
    batch = len(landmarks)
    if gaze is None:
        gaze = closing.new_zeros(batch, 2, closing.shape[-1])
    form = torch.stack(
        [
            random.uniform(0.05, 0.25, batch),  # share of the opening by which the lower lid rises
            random.uniform(0.2, 0.42, batch),  # height of the stretched skin, in widths of the eye
            random.uniform(0.01, 0.06, batch),  # height of the strip with the lashes
            random.uniform(0.12, 0.3, batch),  # height of the skin below the eye
            random.uniform(-0.05, 0.25, batch),  # shading of the lid
            random.uniform(0, 0.5, batch)
            * random.chance(0.7, batch),  # darkness of the line of lashes
            random.uniform(0.012, 0.035, batch),  # width of that line
        ],
        1,
    )
    drawn = []
    for eye, (corners, upper, lower) in enumerate(EYES):
        left, right = (landmarks[:, i] for i in corners)
        span = right - left
        width = span.norm(dim=-1).clamp_min(1)
        along = span / width[:, None]
        down = torch.stack([-along[:, 1], along[:, 0]], -1)
        zero = torch.zeros(batch, 2, device=landmarks.device)
        middle = (left + right) / 2
        lid = Lid(middle, along, down, width / 2, zero, zero, closing[:, eye], gaze, form)
        lines = [_fit_line(*lid.to_eye(landmarks[:, list(i)])) for i in (upper, lower)]
        lid = lid._replace(upper=lines[0], lower=lines[1])
        a = torch.zeros(batch, 3, device=landmarks.device) + torch.tensor(
            [-0.4, 0.0, 0.4], device=landmarks.device
        )
        top, bottom = lid.edges(a)
        gap = (bottom - top) / width[:, None]
        usable = (
            (gap.amin(1) > MIN_OPENING / 2)
            & (gap[:, 1] > MIN_OPENING)
            & (gap.amax(1) < MAX_OPENING)
        )
        drawn.append(
            lid._replace(closing=lid.closing * usable[:, None], gaze=gaze * usable[:, None, None])
        )
    return drawn[0], drawn[1]


def _fit_line(a: Tensor, v: Tensor) -> Tensor:
    """Return intercept and slope (B, 2) of the line whose product with the bow meets two points.

    The points are `a` (B, 2) and `v` (B, 2).
    """
    height = v / (1 - a.clamp(-0.85, 0.85) ** 2) ** LID_EXPONENT
    apart = a[:, 1] - a[:, 0]
    slope = (height[:, 1] - height[:, 0]) / apart.clamp_min(0.3)
    return torch.stack([height.mean(1) - slope * a.mean(1), slope], 1)


def _clock(random: Random, frames: int, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Return the seconds (B, T) of T frames at rates (B,), and the clips' lengths (B, 1)."""
    time = torch.arange(frames, device=random.device) / rate[:, None]
    return time, (frames / rate)[:, None]


def draw_blinks(random: Random, batch: int, frames: int, rate: Tensor) -> Tensor:
    """Draw how far eyes are shut over time: blinks, long closures, squints and winks.

    Args:
        random: source of randomness.
        batch: number of faces B.
        frames: number of frames T.
        rate: (B,) frames per second.

    Returns:
        (B, 2, T) from 0 (open) to about 1 (shut), for the right and the left eye.
    """
    time, span = _clock(random, frames, rate)
    total = torch.zeros(batch, 2, frames, device=random.device)
    for _ in range(3):
        when = random.uniform(-0.1, 1.0, batch, 1) * span
        shutting = random.uniform(0.06, 0.12, batch, 1)
        opening = random.uniform(0.1, 0.3, batch, 1)
        held = random.uniform(0, 0.08, batch, 1)
        held = held + random.chance(0.15, batch, 1) * random.uniform(0, 1.0, batch, 1)
        down = ((time - when) / shutting).clamp(0, 1)
        up = ((time - when - shutting - held) / opening).clamp(0, 1)
        wave = (1 - torch.cos(math.pi * down)) / 2 - (1 - torch.cos(math.pi * up)) / 2
        depth = torch.where(
            random.chance(0.75, batch, 1) > 0,
            random.uniform(0.88, 1.03, batch, 1),
            random.uniform(0.25, 0.9, batch, 1),
        )
        wave = wave * depth * random.chance(0.7, batch, 1)
        sides = torch.ones(batch, 2, device=random.device)
        wink = random.chance(0.15, batch)
        side = random.integers(2, batch)
        sides[torch.arange(batch), side] -= wink * random.uniform(0.5, 1, batch)
        total = torch.maximum(total, wave[:, None] * sides[..., None])
    squint = random.uniform(0, 0.45, batch, 1) * random.chance(0.3, batch, 1)
    squint = squint * (0.5 + 0.5 * random.smooth(frames, batch)).clamp(0, 1)
    return torch.maximum(total, squint[:, None].expand_as(total))


def draw_gaze(random: Random, batch: int, frames: int, rate: Tensor) -> Tensor:
    """Draw where eyes look over time: they rest, and jump from place to place.

    Args:
        random: source of randomness.
        batch: number of faces B.
        frames: number of frames T.
        rate: (B,) frames per second.

    Returns:
        (B, 2, T) from -1 to 1, to the right and down.
    """
    time, span = _clock(random, frames, rate)
    when = (random.uniform(-0.5, 1, batch, FIXATIONS) * span).sort(1).values
    places = random.uniform(-1, 1, batch, 2, FIXATIONS + 1)
    jumped = ((time[:, None] - when[..., None]) / SACCADE_S).clamp(0, 1)
    jumps = places.diff(dim=2) @ jumped
    return (places[..., :1] + jumps) * random.chance(GAZE_CHANCE, batch, 1, 1)
