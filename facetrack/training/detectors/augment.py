"""Crops of faces as a sloppy face detector and a poor camera give them, many at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import SIZE
from facetrack.training import degrade
from facetrack.training.detectors import eyelids, lips
from facetrack.training.detectors.data import Faces
from facetrack.training.detectors.profiling import Profiles, Turned
from facetrack.training.signals import Random

ALIKE = 4
"""Crops that share one blur and one codec, so that a batch holds several."""
FIFA_SIZE = 5
"""Side in pixels of the first Fiducial Focus squares."""
MIN_WITHIN = 0.35
"""Smallest share of the landmarks that an ending picture leaves within it."""


@dataclass(frozen=True)
class Augmentation:
    """How far crops go from what an exact face box gives.

    Attributes:
        rotation: degrees, to either side.
        scale: factors on the side of the box, smallest and largest.
        shift: sides of the box by which its centre is off, at most, along either axis.
        wide: share of crops drawn evenly from those ranges; the others scatter somewhat
            more than the boxes of a good face detector.
        mirror: share of crops flipped left to right.
        lids, lips: shares of crops whose lids and whose mouths move, of faces with 68 points.
        turned: share of crops whose face is turned out of plane (`profiling`), of such faces.
        spoilt: share of crops that occluders, light and cameras spoil (`spoil`). The others keep
            the quality of their photograph.
        ended: share of crops in which the picture ends within the face (`end_pictures`).
    """

    rotation: float = 30.0
    scale: tuple[float, float] = (0.75, 1.3)
    shift: float = 0.2
    wide: float = 0.3
    mirror: float = 0.5
    lids: float = eyelids.CHANCE
    lips: float = lips.CHANCE
    turned: float = 0.3
    spoilt: float = 0.5
    ended: float = 0.15

    def plain(self) -> Augmentation:
        """Return the same ranges for faces that stay as they were photographed."""
        return replace(self, lids=0.0, lips=0.0, turned=0.0, spoilt=0.0, ended=0.0)


ALIGNED = Augmentation(rotation=12.0, scale=(0.86, 1.16), shift=0.06, wide=0.15)
"""Of crops that follow from rough landmarks: see `facetrack.detectors.alignment`."""


MOVING_YAW = math.radians(35)
"""Turns up to which lids and lips are moved as well."""


class Views(NamedTuple):
    """A batch of crops.

    Attributes:
        pictures: (B, 3, side, side) RGB in [0, 1].
        points: (B, N, 2) landmarks in pixels of a crop of SIZE pixels, whatever the pictures' side;
            origin at the centre of the top-left pixel; they may lie outside.
        hidden: (B, N) bool, whether the turned head covers a landmark.
        labelled: (B, N) float32, 1 for landmarks that are known, 0 for guesses.
    """

    pictures: Tensor
    points: Tensor
    hidden: Tensor
    labelled: Tensor


class Transform(NamedTuple):
    """Where crops lie: source xy = matrix @ (crop xy - middle of the crop) + centre.

    Attributes:
        matrix: (B, 2, 2) source pixels per crop pixel.
        centre: (B, 2) source pixels.
        mirrored: (B,) bool, whether the matrix flips left and right.
    """

    matrix: Tensor
    centre: Tensor
    mirrored: Tensor


def draw(squares: Tensor, random: Random, ranges: Augmentation, side: int = SIZE) -> Transform:
    """Transforms around the squares (B, 4), x and y of their centres, their sides and rolls.

    Args:
        side: of the crops in pixels.
    """
    batch = len(squares)
    wide = random.chance(ranges.wide, batch)

    def either(narrow: Tensor, even: Tensor) -> Tensor:
        return torch.where(wide.bool(), even, narrow)

    most = math.radians(ranges.rotation)
    angle = either(random.normal(batch) * most / 3, random.uniform(-most, most, batch))
    low, high = (math.log(s) for s in ranges.scale)
    scale = either(random.normal(batch) * (high - low) / 4, random.uniform(low, high, batch)).clamp(
        low, high
    )
    offsets = torch.stack(
        [
            either(
                random.normal(batch) * ranges.shift / 2, random.uniform(-1, 1, batch) * ranges.shift
            )
            for _ in range(2)
        ],
        -1,
    ).clamp(-ranges.shift, ranges.shift)
    mirrored = random.chance(ranges.mirror, batch).bool()
    step = squares[:, 2] * scale.exp() / side
    angle = angle.clamp(-most, most) + squares[:, 3]
    cos, sin = angle.cos() * step, angle.sin() * step
    sign = torch.where(mirrored, -1.0, 1.0)
    matrix = torch.stack([cos * sign, -sin, sin * sign, cos], -1).view(batch, 2, 2)
    return Transform(matrix, squares[:, :2] + offsets * squares[:, 2:3], mirrored)


def cut(
    pictures: Tensor,
    points: Tensor,
    where: Transform,
    swap: Tensor,
    reflect: Tensor,
    turned: Turned | None = None,
    side: int = SIZE,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take crops out of pictures.

    Args:
        pictures: (B, 3, S, S) in [0, 1].
        points: (B, N, 2) pixels of them.
        swap: (N,) the permutation of a mirrored face, `Scheme.swap`.
        reflect: (B,) bool; True continues the picture by its mirror image, False by black.
        turned: out-of-plane turns of the faces, whose landmarks then replace `points`.
        side: of the crops in pixels.

    Returns:
        Crops (B, 3, side, side), their landmarks (B, N, 2) in crop pixels, and (B, N) bool whether
        the turned head covers a landmark.
    """
    middle = (side - 1) / 2
    axis = torch.arange(side, device=pictures.device, dtype=points.dtype) - middle
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([columns, rows], -1).view(1, -1, 2)
    source = places @ where.matrix.transpose(1, 2) + where.centre[:, None]
    hidden = torch.zeros_like(points[..., 0], dtype=torch.bool)
    if turned is not None:
        source, points, hidden = turned.carry(source), turned.points, turned.hidden
    grid = (source + 0.5) / pictures.shape[-1]
    folded = 1 - (1 - grid.remainder(2)).abs()
    grid = torch.where(reflect[:, None, None], folded, grid) * 2 - 1
    crops = F.grid_sample(
        pictures, grid.view(-1, side, side, 2), padding_mode="zeros", align_corners=False
    )
    moved = torch.linalg.solve(where.matrix, (points - where.centre[:, None]).transpose(1, 2))
    moved = moved.transpose(1, 2) + middle
    moved = torch.where(where.mirrored[:, None, None], moved[:, swap], moved)
    hidden = torch.where(where.mirrored[:, None], hidden[:, swap], hidden)
    return crops, moved, hidden


@dataclass(frozen=True)
class Source:
    """The faces of a training, and how their crops are cut.

    Attributes:
        faces: all faces.
        frame_of: the square that the detector would cut out around a face with landmarks (N, 2),
            in its picture's pixels.
        squares: (M, 4) x and y of the centre, the side and the roll in radians of these squares.
        swap: (N,) the permutation of a mirrored face.
        profiles: turns faces of 68 points in depth; None for other layouts, and where none turn.
    """

    faces: Faces
    frame_of: Callable[[np.ndarray], FaceFrame]
    squares: Tensor
    swap: Tensor
    profiles: Profiles | None

    @staticmethod
    def of(
        faces: Faces,
        frame_of: Callable[[np.ndarray], FaceFrame],
        swap: Tensor,
        turning: bool = True,
    ) -> Source:
        """Measure the squares of the faces, and their relief if they shall be turned in depth."""
        points = faces.points.cpu().numpy().astype(float)
        device = faces.points.device
        can_turn = turning and points.shape[1] == 68
        profiles = Profiles(points, device) if can_turn else None
        return Source(faces, frame_of, squares_of(points, frame_of).to(device), swap, profiles)


class Part(NamedTuple):
    """A part of a training's crops.

    Attributes:
        source: the faces.
        share: of the crops; the shares of all parts sum to 1.
        ranges: how the crops are made.
    """

    source: Source
    share: float
    ranges: Augmentation


def sample_from(parts: Sequence[Part], count: int, random: Random, side: int = SIZE) -> Views:
    """Return `count` crops of several parts."""
    draws = random.uniform(0, 1, count)
    views, low = [], 0.0
    for source, share, ranges in parts:
        number = int(((draws >= low) & (draws < low + share)).sum())
        low += share
        if number:
            views.append(sample_spoilt(source, number, random, ranges, side))
    return Views(*(torch.cat(values) for values in zip(*views, strict=True)))


def sample_spoilt(
    source: Source, count: int, random: Random, ranges: Augmentation, side: int = SIZE
) -> Views:
    """Return crops as `sample_clear` does, some of them spoilt, or ended within the face."""
    views = sample_clear(source, count, random, ranges, side)
    pictures, chosen = views.pictures, random.chance(ranges.spoilt, count).nonzero()[:, 0]
    if len(chosen):
        pictures[chosen] = spoil(pictures[chosen], random)
    return views._replace(pictures=end_pictures(pictures, views.points, ranges.ended, random))


def squares_of(points: np.ndarray, frame_of: Callable[[np.ndarray], FaceFrame]) -> Tensor:
    """Return the squares (M, 4) of faces (M, N, 2), as in `Source`."""
    frames = [frame_of(face) for face in points]
    return torch.tensor([[*f.centre, f.side, f.roll] for f in frames]).float().view(-1, 4)


def sample_clear(
    source: Source, count: int, random: Random, ranges: Augmentation, side: int = SIZE
) -> Views:
    """Return `count` random crops of random faces, of `side` pixels."""
    faces = source.faces
    index = random.integers(len(faces.pictures), count)
    points, squares, turned = faces.points[index], source.squares[index], None
    moving = torch.ones(count, device=points.device)
    if source.profiles is not None:
        turned = source.profiles.turn(index, points, ranges.turned, random)
        squares = squares.clone()
        after = turned.points[turned.rows].cpu().numpy().astype(float)
        squares[turned.rows] = squares_of(after, source.frame_of).to(squares)
        moving = (turned.yaw.abs() < MOVING_YAW).float()
    where = draw(squares, random, ranges, side)
    reflect = random.chance(0.6, count).bool()
    pictures = faces.pictures[index].float() / 255
    pictures, points, hidden = cut(pictures, points, where, source.swap, reflect, turned, side)
    labelled = faces.labelled[index]
    labelled = torch.where(where.mirrored[:, None], labelled[:, source.swap], labelled)
    if points.shape[1] == 68:
        pictures, points = lips.move(pictures, points, random, ranges.lips * moving)
        lids = eyelids.draw(random, count, ranges.lids)
        lids = lids._replace(closing=lids.closing * moving[:, None])
        pictures, points = eyelids.move(pictures, points, lids)
    if side != SIZE:
        points = (points + 0.5) * (SIZE / side) - 0.5
    return Views(pictures, points, hidden, labelled)


def spoil(pictures: Tensor, random: Random) -> Tensor:
    """What occluders, light, lenses, sensors and codecs do to pictures (B, 3, H, W) in [0, 1]."""
    pictures = occlude(pictures, random)
    grey = random.chance(0.1, len(pictures), 1, 1, 1)
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True), grey)
    spoilt = []
    for part in pictures.split(ALIKE):
        video = degrade.light(part[:, None], random)
        video = degrade.soften(video, random)
        video = degrade.noise(video, random)
        spoilt.append(degrade.blocks(video, random)[:, 0])
    return torch.cat(spoilt)


def occlude(pictures: Tensor, random: Random, share: float = 0.4) -> Tensor:
    """Rectangles of another picture of the batch, or of one colour, over some pictures."""
    batch, _, height, width = pictures.shape
    centre = random.uniform(0, 1, batch, 2)
    half = random.uniform(0.04, 0.22, batch, 2)
    x = (torch.arange(width, device=pictures.device) + 0.5) / width
    y = (torch.arange(height, device=pictures.device) + 0.5) / height
    across = (x - centre[:, :1]).abs() < half[:, :1]
    down = (y - centre[:, 1:]).abs() < half[:, 1:]
    inside = (down[:, :, None] & across[:, None])[:, None].float()
    inside = inside * random.chance(share, batch, 1, 1, 1)
    colour = random.uniform(0, 1, batch, 3, 1, 1).expand_as(pictures)
    other = pictures.roll(1, 0).flip(2)
    fill = torch.where(random.chance(0.5, batch, 1, 1, 1).bool(), colour, other)
    return torch.lerp(pictures, fill, inside)


def end_pictures(pictures: Tensor, points: Tensor, share: float, random: Random) -> Tensor:
    """Blacken a share of crops beyond a straight line through the face.

    A detector's crop of a face that is partly outside the image looks like that. Its landmarks
    outside stay where they were, so the network learns to guess them from the rest of the face.

    Args:
        pictures: (B, 3, side, side) RGB in [0, 1].
        points: (B, N, 2) landmarks in pixels of a crop of SIZE pixels.
        share: of the crops to change.

    Returns:
        (B, 3, side, side).
    """
    batch, side = len(pictures), pictures.shape[-1]
    angle = random.integers(4, batch) * (math.pi / 2) + random.normal(batch) * math.radians(12)
    normal = torch.stack([angle.cos(), angle.sin()], -1)[:, None]
    middle = (SIZE - 1) / 2
    along = ((points - middle) * normal).sum(-1).sort(-1).values
    within = random.uniform(MIN_WITHIN, 1, batch) * (along.shape[1] - 1)
    limit = along.gather(1, within.long()[:, None])[..., None]
    axis = (torch.arange(side, device=pictures.device) + 0.5) * (SIZE / side) - 0.5 - middle
    beyond = normal[..., :1] * axis + normal[..., 1:] * axis[:, None] - limit
    # The edge is as soft as bilinear interpolation leaves it.
    kept = (0.5 - beyond * (side / SIZE)).clamp(0, 1)
    kept = torch.where(random.chance(share, batch, 1, 1).bool(), kept, 1.0)
    return pictures * kept[:, None]


def fifa_size(progress: float, share: float) -> int:
    """Side of the Fiducial Focus squares: from FIFA_SIZE to 1 over `share` of the budget, then 0.

    Kar et al., "Fiducial Focus Augmentation for Facial Landmark Detection" (arXiv 2402.15044),
    where the side shrinks by one pixel after a fixed number of epochs.
    """
    if share <= 0 or progress >= share:
        return 0
    return FIFA_SIZE - int(FIFA_SIZE * progress / share)


def paint_squares(views: Views, size: int, which: Tensor) -> Tensor:
    """The pictures with a black square of `size` pixels centred on each landmark.

    Args:
        which: (B,) bool, the pictures that get them.
    """
    if size < 1:
        return views.pictures
    batch, _, height, width = views.pictures.shape
    steps = torch.arange(size, device=which.device)
    points = (views.points + 0.5) * (width / SIZE) - 0.5
    first = (points - (size - 1) / 2).round().long()
    x = first[:, :, 0, None, None] + steps
    y = first[:, :, 1, None, None] + steps[:, None]
    x, y = torch.broadcast_tensors(x, y)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & which[:, None, None, None]
    place = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(1)
    black = torch.zeros(batch, height * width, device=which.device)
    black.scatter_reduce_(1, place, inside.flatten(1).float(), "amax")
    return views.pictures * (1 - black.view(batch, 1, height, width))
