"""Move the eyelids of photographed eyes: shut, half shut, squeezed or widened, with exact labels.

Photographs of faces show few shut eyes, and a network that has seen none places open lids on them.
Here an eye is three layers. The eyeball stays where it is. The skin below the eye is stretched
upwards to the new edge of the lower lid. The skin between the crease and the upper lid's edge is
stretched downwards to its new edge. Strips along both edges, which hold the lashes, move rigidly.

Coordinates of an eye are in widths of it, from its left corner in the picture: x along the line to
the other corner, y downwards across that line. The lids' edges are cubics through the corners and
the landmarks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.signals import Random

CHANCE = 0.35
"""Share of the faces whose lids move."""
MIN_EYE_WIDTH_PX = 10.0
"""Pixels between the corners of an eye below which it stays unchanged."""
OPENING_RANGE = (0.08, 0.6)
"""Range of openings, in widths of the eye, in which the landmarks are plausible."""
MIN_LID_SKIN = 0.1
"""Distance of the upper lid from the brow, in widths of the eye, below which it stays unchanged."""
REACH = 1.0
"""Maximum distance of changed pixels from the eye's centre, in widths of the eye."""


class Eye(NamedTuple):
    """The landmarks of one eye and its brow, in the layout of 68 points."""

    corners: tuple[int, int]
    upper: tuple[int, int]
    lower: tuple[int, int]
    brow: tuple[int, ...]


EYES = (
    Eye((36, 39), (37, 38), (41, 40), tuple(range(17, 22))),
    Eye((42, 45), (43, 44), (47, 46), tuple(range(22, 27))),
)


class Lids(NamedTuple):
    """New lid positions of B faces; the left eye in the picture comes first.

    Attributes:
        closing: (B, 2) 0 as photographed, 1 shut, negative widened.
        rise: (B, 2) share of the opening by which the lower lid of a shut eye rises.
        appearance: (B, NUM_APPEARANCE) uniform in [0, 1): parameters of `_Appearance`.
    """

    closing: Tensor
    rise: Tensor
    appearance: Tensor


NUM_APPEARANCE = 27
"""Random numbers that `_Appearance` consumes."""


def draw(random: Random, count: int, chance: float = CHANCE) -> Lids:
    """Draw the lids of `count` faces; the share `1 - chance` stays unchanged."""
    kind = random.uniform(0, 1, count, 1)
    share = random.uniform(0.15, 1, count, 1) + random.normal(count, 2) * 0.05
    closing = torch.where(kind < 0.4, torch.ones_like(share), share.clamp(0, 1))
    # A wink: the other eye is open, or narrows a little.
    winking = random.chance(0.5, count, 1)
    winking = torch.cat([winking, 1 - winking], 1)
    wink = torch.where(random.chance(0.6, count, 1) > 0, 1.0, share.clamp(0, 1))
    narrowed = random.uniform(0, 0.25, count, 1) * random.chance(0.4, count, 1)
    closing = torch.where(
        (kind > 0.72) & (kind < 0.88), torch.where(winking > 0, wink, narrowed), closing
    )
    closing = torch.where(kind > 0.88, -random.uniform(0.05, 0.25, count, 1), closing)
    closing = closing * random.chance(chance, count, 1)
    squeezed = random.chance(0.2, count, 1)
    rise = random.uniform(0.0, 0.22, count, 1)
    rise = rise + squeezed * random.uniform(0.15, 0.4, count, 1)
    return Lids(closing, rise.expand(-1, 2), random.uniform(0, 1, count, NUM_APPEARANCE))


def move(pictures: Tensor, points: Tensor, lids: Lids) -> tuple[Tensor, Tensor]:
    """Move the lids of faces.

    An eye with implausible landmarks stays unchanged.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        points: (B, 68, 2) pixels, origin at the centre of the top-left pixel.

    Returns:
        The pictures and the points with the lids moved.
    """
    pictures, points = pictures.clone(), points.clone()
    for side, eye in enumerate(EYES):
        frame = _Frame.of(points, eye)
        chosen = (frame.usable & (lids.closing[:, side] != 0)).nonzero()[:, 0]
        if len(chosen):
            eye_frame = _Frame(*(value[chosen] for value in frame))
            appearance = _Appearance(lids.appearance[chosen], eye_frame.skin)
            shape = _Shape(eye_frame, lids.closing[chosen, side], lids.rise[chosen, side])
            _paint(pictures, chosen, eye_frame, shape, appearance)
            _move_landmarks(points, chosen, eye, eye_frame, shape)
    return pictures, points


class _Frame(NamedTuple):
    """The coordinate systems of E eyes.

    Attributes:
        origin: (E, 2) pixels of the left corner. along, down: (E, 2) unit vectors.
        width: (E,) pixels.
        upper, lower: (E, 2) the lids' edges: y = x (1 - x) (first + second x).
        skin: (E,) widths of skin between the upper lid and the brow.
        usable: (E,) bool.
    """

    origin: Tensor
    along: Tensor
    down: Tensor
    width: Tensor
    upper: Tensor
    lower: Tensor
    skin: Tensor
    usable: Tensor

    @staticmethod
    def of(points: Tensor, eye: Eye) -> _Frame:
        """Return the coordinate systems of one eye of each face (B, 68, 2)."""
        origin, end = (points[:, corner] for corner in eye.corners)
        width = (end - origin).norm(dim=-1).clamp_min(1e-3)
        along = (end - origin) / width[:, None]
        down = torch.stack([-along[:, 1], along[:, 0]], -1)
        bare = _Frame(origin, along, down, width, *[width] * 4)
        upper, lower, brow = (bare.local(points[:, list(part)]) for part in eye[1:])
        top, bottom = _cubic(upper), _cubic(lower)
        opening = (lower[..., 1] - upper[..., 1]).mean(-1)
        x = torch.cat([upper[..., 0], lower[..., 0]], -1)
        apart = torch.minimum(upper[:, 1, 0] - upper[:, 0, 0], lower[:, 1, 0] - lower[:, 0, 0])
        skin = upper[..., 1].amin(-1) - brow[..., 1].amax(-1)
        usable = (
            (width >= MIN_EYE_WIDTH_PX)
            & (opening > OPENING_RANGE[0])
            & (opening < OPENING_RANGE[1])
            & (x > 0.1).all(-1)
            & (x < 0.9).all(-1)
            & (apart > 0.12)
            & (skin > MIN_LID_SKIN)
        )
        return _Frame(origin, along, down, width, top, bottom, skin, usable)

    def local(self, xy: Tensor) -> Tensor:
        """Convert pixels (E, ..., 2) to coordinates of the eye."""
        away = (xy - _each(self.origin, xy)) / _each(self.width, xy)
        x = (away * _each(self.along, xy)).sum(-1)
        return torch.stack([x, (away * _each(self.down, xy)).sum(-1)], -1)

    def pixels(self, x: Tensor, y: Tensor) -> Tensor:
        """Convert coordinates of the eye, (E, ...) each, to pixels (E, ..., 2)."""
        x, y = x[..., None], y[..., None]
        away = x * _each(self.along, x) + y * _each(self.down, x)
        return _each(self.origin, x) + away * _each(self.width, x)


class _Shape(NamedTuple):
    """The old and new edges of the lids of E eyes."""

    frame: _Frame
    closing: Tensor
    rise: Tensor

    def edges(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return y at x (E, ...) of the upper and lower edge, as photographed and as moved."""
        closing, rise = _each(self.closing, x), _each(self.rise, x)
        bow = x * (1 - x) * ((x > 0) & (x < 1))
        upper, lower = (
            bow * (_each(edge[:, 0], x) + _each(edge[:, 1], x) * x)
            for edge in (self.frame.upper, self.frame.lower)
        )
        lower = torch.maximum(upper, lower)
        opening = lower - upper
        new_lower = lower - rise * closing.clamp_min(0) * opening
        room = torch.where(closing > 0, new_lower - upper, opening)
        return upper, lower, upper + closing * room, new_lower


class _Appearance:
    """Random appearance of eyes, (E, 1, 1) each; lengths in widths of the eye."""

    def __init__(self, drawn: Tensor, skin: Tensor) -> None:
        value = iter(drawn[:, :, None, None].unbind(1))

        def between(low: float, high: float, chance: float = 1.0) -> Tensor:
            first = next(value)
            if chance < 1:
                return (low + (high - low) * first) * (next(value) < chance)
            return low + (high - low) * first

        # The crease, where the stretched skin begins, and how smoothly the stretching begins there.
        self.crease = torch.minimum(between(0.16, 0.5), 0.8 * skin[:, None, None])
        self.gentle = between(0.0, 1.0)
        self.strip, self.below = between(0.02, 0.06), between(0.0, 0.015)
        self.cheek = between(0.2, 0.4)
        # Light on the lid, and the share of its texture that the colour of nearby skin replaces.
        self.dark, self.gloss = between(0.0, 0.25), between(-0.02, 0.12)
        self.plain, self.lower_skin = between(0.2, 0.8, 0.6), between(0.0, 1.0)
        self.under = between(0.1, 0.3)
        self.line, self.line_width = between(0.15, 0.95, 0.85), between(0.015, 0.065)
        self.lashes, self.length = between(0.1, 0.95, 0.7), between(0.05, 0.28)
        self.soft = between(0.6, 3.0)
        self.many, self.phase, self.fan = between(7, 15), between(0, 6.3), between(0.1, 0.7)
        self.shadow = between(0.0, 0.35)
        self.make_up = between(0.2, 0.8, 0.15)
        self.hue = torch.stack([between(0.3, 1.1) for _ in range(3)], 1)


class _Patch(NamedTuple):
    """The pixels (E, P, P) around each eye.

    Attributes:
        faces: (E, 3, H, W) the pictures as photographed.
        x, y: coordinates of the eye. size: (E, 1, 1) its width in pixels.
        upper, lower, new_upper, new_lower: y of the lids' edges at x.
        closing: (E, 1, 1) 0 where the eye is widened.
        within: 1 between the corners.
    """

    frame: _Frame
    faces: Tensor
    x: Tensor
    y: Tensor
    size: Tensor
    upper: Tensor
    lower: Tensor
    new_upper: Tensor
    new_lower: Tensor
    closing: Tensor
    within: Tensor

    def read(self, y: Tensor, small: Tensor | None = None) -> Tensor:
        """Sample colours (E, 3, P, P) at the same x and another y, of `small` pictures if given."""
        size = torch.tensor(self.faces.shape[:1:-1], device=y.device)
        grid = (self.frame.pixels(self.x, y) + 0.5) * 2 / size - 1
        source = self.faces if small is None else small
        return F.grid_sample(source, grid, padding_mode="border", align_corners=False)


def _paint(
    pictures: Tensor, chosen: Tensor, frame: _Frame, shape: _Shape, appearance: _Appearance
) -> None:
    """Draw the eyes (E) of the faces `chosen` (E,) into `pictures` (B, 3, H, W)."""
    height, width = pictures.shape[-2:]
    half = min(math.ceil(REACH * float(frame.width.max())), max(height, width))
    middle = frame.pixels(torch.full_like(frame.width, 0.5), torch.zeros_like(frame.width))
    axis = torch.arange(-half, half + 1, device=pictures.device, dtype=middle.dtype)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([columns, rows], -1) + middle.round()[:, None, None]
    x, y = frame.local(places).unbind(-1)
    edges = shape.edges(x)
    within = ((x > 0) & (x < 1) & (edges[1] > edges[0])).float()
    closing = _each(shape.closing, x).clamp_min(0)
    patch = _Patch(frame, pictures[chosen], x, y, _each(frame.width, x), *edges, closing, within)
    colour = _eyeball(patch, appearance)
    for layer, cover in (_lower_lid(patch, appearance), _upper_lid(patch, appearance)):
        colour = torch.lerp(colour, layer, (cover * within)[:, None])
    colour = colour * (1 - _lashes(patch, appearance) * within)[:, None]

    xs, ys = places.long().unbind(-1)
    seen = (xs >= 0) & (xs < width) & (ys >= 0) & (ys < height)
    changes = (
        (within > 0) & (y > patch.upper - appearance.crease) & (y < patch.lower + appearance.cheek)
    )
    changes = changes & seen
    face = chosen[:, None, None].expand_as(xs)[changes]
    drawn = colour.permute(0, 2, 3, 1)[changes].clamp(0, 1)
    pictures.permute(0, 2, 3, 1)[face, ys[changes], xs[changes]] = drawn


def _eyeball(patch: _Patch, appearance: _Appearance) -> Tensor:
    """Draw the eyeball in the lid's shadow.

    The eyeball of a widened eye is stretched, because the part under the lid is unknown.
    """
    upper, lower, edge, y = patch.upper, patch.lower, patch.new_upper, patch.y
    ratio = (lower - upper) / (lower - edge).clamp_min(1e-3)
    widened = (edge < upper) & (y > edge) & (y < lower)
    ball = patch.read(torch.where(widened, lower - (lower - y) * ratio, y))
    shadow = appearance.shadow * patch.closing * torch.exp(-(y - edge).clamp_min(0) / 0.07)
    return ball * (1 - shadow * patch.within)[:, None]


def _lower_lid(patch: _Patch, appearance: _Appearance) -> tuple[Tensor, Tensor]:
    """Draw the skin below the eye, with the lashes in a rigid strip; return it and its coverage."""
    y, edge, lower = patch.y, patch.new_lower, patch.lower
    cheek, strip = lower + appearance.cheek, appearance.strip
    ratio = (cheek - lower - strip) / (cheek - edge - strip)
    from_y = torch.where(y < edge + strip, y + lower - edge, cheek - (cheek - y) * ratio)
    cover = ((y - edge) * patch.size + 0.5).clamp(0, 1) * ((y < cheek) & (edge < lower))
    return patch.read(from_y), cover


def _upper_lid(patch: _Patch, appearance: _Appearance) -> tuple[Tensor, Tensor]:
    """Draw the skin from the crease to the upper lid's edge; return it and its coverage.

    The lashes move in a rigid strip.
    """
    y, edge, upper = patch.y, patch.new_upper, patch.upper
    crease = upper - appearance.crease
    strip = appearance.strip * ((patch.lower - upper) / 0.15).clamp(0, 1)
    end, old_end = edge - strip, upper - strip
    ratio = (end - crease) / (old_end - crease).clamp_min(1e-3)
    # A parabola whose slope at the crease leaves the skin there unchanged, or a line.
    first = 1 + appearance.gentle * (ratio.clamp(0.2, 1.8) - 1)
    t = ((y - crease) / (end - crease).clamp_min(1e-3)).clamp(0, 1)
    bent = crease + (first * t + (1 - first) * t * t) * (old_end - crease)
    lid = patch.read(torch.where(y > end, y + upper - edge, bent))

    # Colours between those above and below the eye in place of the texture, which may be shadow
    # or the brow; not on the lashes.
    small = F.avg_pool2d(patch.faces, 4, ceil_mode=True)
    down = ((y - upper) / (edge - upper).clamp_min(1e-3)).clamp(0, 1)
    above = patch.read(upper - 0.6 * appearance.crease, small)
    below = patch.read(patch.lower + appearance.under, small)
    skin = torch.lerp(above, below, (appearance.lower_skin * down)[:, None])
    new = patch.closing * ((y - upper + 0.5 * appearance.crease) / 0.2).clamp(0, 1) * (edge > upper)
    on_skin = new * ((end - y) / 0.04).clamp(0, 1)
    lid = torch.lerp(lid, skin, (appearance.plain * on_skin)[:, None])
    bow = (4 * patch.x * (1 - patch.x)).clamp_min(0)
    light = (
        appearance.gloss * bow * torch.exp(-(((down - 0.4) / 0.3) ** 2)) - appearance.dark * down**2
    )
    lid = lid * (1 + light * new)[:, None]
    lid = lid * (1 - (appearance.make_up * new)[:, None] * (1 - appearance.hue))

    cover = ((edge + appearance.below * patch.closing - y) * patch.size + 0.5).clamp(0, 1)
    return lid, cover * (y > crease)


def _lashes(patch: _Patch, appearance: _Appearance) -> Tensor:
    """Return the darkening (E, P, P) by lashes along the upper lid's edge."""
    away = patch.y - patch.new_upper
    bow = (4 * patch.x * (1 - patch.x)).clamp_min(0).sqrt()
    line_width = torch.maximum(appearance.line_width, 0.9 / patch.size)
    line = appearance.line * torch.exp(-((away / line_width) ** 2))
    t = away / appearance.length
    along = patch.x - appearance.fan * (patch.x - 0.5) * t * 0.5
    wave = torch.sin(2 * math.pi * appearance.many * along + appearance.phase)
    wave = wave + 0.7 * torch.sin(
        2 * math.pi * 1.7 * appearance.many * along + 2 * appearance.phase
    )
    hairs = (wave / appearance.soft + 0.5).clamp(0, 1) * (1 - t).clamp(0, 1) * (away > 0)
    dark = torch.maximum(line, appearance.lashes * hairs)
    return dark * bow * patch.closing**2


def _move_landmarks(points: Tensor, chosen: Tensor, eye: Eye, frame: _Frame, shape: _Shape) -> None:
    """Place the landmarks of the lids on the moved edges, in place."""
    for part, which in ((eye.upper, 2), (eye.lower, 3)):
        for index in part:
            x = frame.local(points[chosen, index])[:, 0]
            points[chosen, index] = frame.pixels(x, shape.edges(x)[which])


def _cubic(lid: Tensor) -> Tensor:
    """Return (E, 2) first and second of y = x (1 - x) (first + second x) through two points."""
    x, y = lid.unbind(-1)
    level = y / (x * (1 - x)).clamp_min(1e-3)
    apart = (x[:, 1] - x[:, 0]).clamp_min(1e-3)
    second = (level[:, 1] - level[:, 0]) / apart
    return torch.stack([level[:, 0] - second * x[:, 0], second], -1)


def _each(value: Tensor, like: Tensor) -> Tensor:
    """Reshape (E,) or (E, 2) to broadcast with (E, ...) or (E, ..., 2 or 1)."""
    ones = [1] * (like.ndim - value.ndim)
    return value.view(len(value), *ones, *value.shape[1:])
