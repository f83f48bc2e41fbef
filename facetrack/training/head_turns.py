"""Turn the heads of rendered clips out of plane, so that one side of the face hides the other.

The texture of a face gets the relief of `facetrack.training.detectors.profiling` and turns about
the vertical axis of the upright head, frame by frame. Coordinates are those of
`facetrack.training.geometry`, texture pixels from the CORNER of the top-left pixel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.detectors.profiling import (
    EXTENT,
    FRONTAL,
    HIDDEN_DEPTH,
    Profiles,
    carry_back,
    from_frame,
    move,
    to_frame,
    turn_surfaces,
)
from facetrack.training.signals import Random
from facetrack.training.textures import Textures

MAX_YAW = math.radians(80)
"""Largest yaw of a head."""
AMPLITUDE = (math.radians(15), math.radians(75))
"""Range of the turns' size."""
TURNING = 0.4
"""Share of the clips whose heads turn."""
STRAIGHT_START = 0.7
"""Share of these that start as the photograph shows the face, as query frames are chosen to."""
AT_ONCE = 12
"""Frames that are turned at once, to limit the memory."""


class HeadTurns(NamedTuple):
    """The turns of B heads over T frames, of which R frames in all are turned.

    Attributes:
        frames: (B, 4) the heads' aligned squares, as in `Profiles`.
        surface: (B, LATTICE, LATTICE) their relief.
        yaw: (B, T) radians.
        rows: (R,) numbers of the turned frames, of B * T.
        source: (R, GRID, GRID) see `profiling.Turn`.
        seen: (R, GRID, GRID) depth of what is seen.
    """

    frames: Tensor
    surface: Tensor
    yaw: Tensor
    rows: Tensor
    source: Tensor
    seen: Tensor

    def carry(self, texture: Tensor) -> Tensor:
        """Return where the photographs show what is seen at (B, T, H, W, 2) after the turns."""
        flat = texture.flatten(0, 1).flatten(1, 2)
        frames = self.frames[self._heads]
        return carry_back(flat, self.rows, frames, self.source).view(texture.shape)

    def place(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Turn points (B, T, P, 2) of the photographs.

        Returns:
            Their places after the turns (B, T, P, 2), and (B, T, P) bool, True for those that the
            head covers.
        """
        flat = points.flatten(0, 1).clone()
        hidden = torch.zeros_like(flat[..., 0], dtype=torch.bool)
        heads = self._heads
        frames, turn = self.frames[heads], self.yaw.flatten()[self.rows, None]
        own = to_frame(flat[self.rows], frames)
        depth = _at(self.surface[heads], own, align_corners=True)
        x, behind = move(own[..., 0], own[..., 1], depth, turn)
        turned = torch.stack([x, own[..., 1]], -1)
        flat[self.rows] = from_frame(turned, frames)
        hidden[self.rows] = behind > _at(self.seen, turned) + HIDDEN_DEPTH
        return flat.view(points.shape), hidden.view(points.shape[:3])

    @property
    def _heads(self) -> Tensor:
        """Numbers (R,) of the turned frames' heads."""
        return self.rows // self.yaw.shape[1]


def with_relief(textures: Textures) -> Textures:
    """Measure the relief of all faces, so that `render` turns their heads."""
    landmarks = textures.landmarks
    profiles = Profiles(landmarks.cpu().numpy().astype(float), landmarks.device)
    return textures._replace(profiles=profiles)


def draw_turns(
    random: Random, profiles: Profiles, index: Tensor, frames: int, effort: float
) -> HeadTurns | None:
    """Draw the turns of some faces over `frames` frames; None if no head turns.

    Args:
        profiles: of all faces.
        index: (B,) numbers of the faces. Those turned in their photograph stay as they are.
        effort: difficulty from 0 to 1, which scales the turns.
    """
    batch = len(index)
    own = profiles.depths.yaw[index][:, None]
    wave = random.smooth(frames, batch, slowest=70, fastest=14)
    start = wave[:, :1] * random.chance(STRAIGHT_START, batch, 1)
    size = random.uniform(*AMPLITUDE, batch, 1) * (0.3 + 0.7 * effort)
    turning = random.chance(TURNING, batch, 1) * (own.abs() <= FRONTAL)
    yaw = torch.tanh(wave - start) * size
    yaw = torch.maximum(torch.minimum(yaw, MAX_YAW - own), -MAX_YAW - own) * turning
    rows = yaw.flatten().nonzero()[:, 0]
    if not len(rows):
        return None
    surface = profiles.depths.surface[index]
    parts = [
        turn_surfaces(surface[part // frames], yaw.flatten()[part])[:2]
        for part in rows.split(AT_ONCE)
    ]
    source, seen = (torch.cat(kind) for kind in zip(*parts, strict=True))
    return HeadTurns(profiles.frames[index], surface, yaw, rows, source, seen)


def _at(maps: Tensor, places: Tensor, align_corners: bool = False) -> Tensor:
    """Read maps (R, h, w), which cover aligned squares, at places (R, P, 2) in them, (R, P)."""
    grid = (places / (EXTENT / 2))[:, :, None]
    return F.grid_sample(maps[:, None], grid, padding_mode="border", align_corners=align_corners)[
        :, 0, :, 0
    ]
