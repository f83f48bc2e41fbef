"""Turn photographed faces out of plane, so that networks learn large poses.

Face profiling (Zhu, Lei, Liu, Shi and Li, "Face Alignment Across Large Poses: A 3D Solution", CVPR
2016): a 3-D face is fitted to the landmarks of a photograph, the photograph is taken as the texture
of its depth, and both are turned about the vertical axis of the head. Here the depth is a smooth
surface through the landmarks of the 3-D face and through points of a head around it. Every row of
the upright face is turned by itself: of the pixels that come to lie on one place, the nearest one
is seen.

The points of the jaw are the outline of the head, as in 300-W: those that the turned head covers
move onto its outline. Other points that it covers keep their place in space, and count as hidden.

Coordinates: fractions of the side of the aligned square (`facetrack.detectors.alignment`), from its
centre, x to the right and y down in the upright face; depth away from the camera.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors import alignment
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import SIZE
from facetrack.measures import face_model, rotations
from facetrack.training.shape3d import fit_views, turned_faces
from facetrack.training.signals import Random

LATTICE = 40
"""Side of the lattice on which depth is stored."""
EXTENT = 2.0
"""Side of the lattice's square."""
GRID = 256
"""Rows and columns in which a turned face is drawn, over EXTENT."""
SUPERSAMPLING = 5
"""Number of texture samples per column: turned surfaces are stretched."""
HEAD, BACKGROUND = 0.56, 0.94
"""Distances from the centre up to which everything turns with the head, and from which nothing
does. Between them the background is stretched."""
FRONTAL, STRAIGHT = math.radians(15), math.radians(5)
"""Yaw up to which faces are turned, because their photographs show both sides, and up to which they
are turned to either side."""
MAX_YAW = math.radians(90)
HIDDEN_DEPTH = 0.035
"""Depth by which a point lies behind the surface that is seen at its place from which on it is
hidden."""
SMOOTHING = 1e-3
"""Of the depth surface. Landmarks of the photograph and of the 3-D face differ a little."""
JAW = slice(0, 17)
MIDLINE = 27


class Depths(NamedTuple):
    """The relief of M annotated faces.

    Attributes:
        surface: (M, LATTICE, LATTICE) depth, of faces that can be turned,
            over the square of EXTENT; 0 is the axis of turns.
        points: (M, 68) depth of the landmarks.
        yaw: (M,) radians, positive if the face looks to the left of the image.
    """

    surface: Tensor
    points: Tensor
    yaw: Tensor


class Turn(NamedTuple):
    """Turns of B faces.

    Attributes:
        source: (B, GRID, GRID) x in the photograph of what is seen at each place; y is unchanged.
        points: (B, 68, 2) landmarks of the turned face.
        hidden: (B, 68) bool, whether the head covers the landmark.
    """

    source: Tensor
    points: Tensor
    hidden: Tensor


def _head_points(model: face_model.Face3d) -> np.ndarray:
    """Return points of the head around a mean face (K, 3) in mm: forehead, temples, neck."""
    mean = model.mean
    brows, jaw = mean[17:27], mean[JAW]
    rims = [
        brows + (0, -30, 2),
        brows * (1, 1, 1) + (0, -58, 18),
        brows * (0.9, 1, 1) + (0, -85, 55),
    ]
    centre = np.array([0.0, -10.0, 0.0])
    for grow, back in ((1.08, 28), (1.14, 62)):
        rims.append((jaw - centre) * (grow, grow, 1) + centre + (0, 0, back))
    return np.concatenate(rims)


def measure_depths(points: np.ndarray, frames: list[FaceFrame]) -> Depths:
    """Fit the 3-D face to landmarks, and spread its depth over the surroundings.

    Args:
        points: (M, 68, 2) landmarks in image pixels.
        frames: the aligned square of each face.
    """
    model = face_model.load()
    views = fit_views(model, points)
    heads = _head_points(model)
    head_turned = np.einsum("nab,ib->nia", views.rotation, heads)
    face_turned = turned_faces(model, views)
    angles = rotations.to_angles(views.rotation)
    axis = np.linspace(-0.5, 0.5, LATTICE) * EXTENT
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    surfaces, depths = [], []
    for m, frame in enumerate(frames):
        if abs(angles[m, 1]) > FRONTAL:
            surfaces.append(np.zeros((LATTICE, LATTICE)))
            depths.append(np.zeros(len(points[m])))
            continue
        unit = views.scale[m] / frame.side
        known = upright(points[m], frame)
        seen = views.scale[m] * head_turned[m][:, :2] + views.shift[m]
        around = upright(seen, frame)
        depth = np.concatenate([face_turned[m][:, 2], head_turned[m][:, 2]]) * unit
        centre = float(np.median(depth[JAW]))
        depth = depth - centre
        everything = np.concatenate([known, around])
        # Beyond the points the depth stays: a spline would come to the front again somewhere.
        surface = _spline(everything, depth, _inside(places, everything))
        surfaces.append(np.clip(surface, -0.6, 0.5).reshape(LATTICE, LATTICE))
        depths.append(depth[:68])
    return Depths(
        torch.from_numpy(np.array(surfaces)).float(),
        torch.from_numpy(np.array(depths)).float(),
        torch.from_numpy(angles[:, 1]).float(),
    )


class Profiles:
    """Turns random faces of a training set.

    Args:
        points: (M, 68, 2) landmarks of the faces in pixels of their pictures.
        device: of the training.

    Attributes:
        frames: (M, 4) x and y of the centre, side and roll of the aligned squares.
        depths: of the faces.
    """

    def __init__(self, points: np.ndarray, device: torch.device) -> None:
        frames = [alignment.align(face) for face in points]
        self.frames = torch.tensor([[*f.centre, f.side, f.roll] for f in frames]).float().to(device)
        self.depths = Depths(*(value.to(device) for value in measure_depths(points, frames)))

    def turn(self, index: Tensor, points: Tensor, share: float, random: Random) -> Turned:
        """Turn a share of the faces.

        Args:
            index: (B,) numbers of the faces.
            points: (B, 68, 2) their landmarks in pixels of their pictures.
            share: from 0 to 1.
        """
        yaw = draw_yaw(self.depths.yaw[index], random) * random.chance(share, len(index))
        rows = yaw.nonzero()[:, 0]
        frames = self.frames[index[rows]]
        depths = Depths(*(value[index[rows]] for value in self.depths))
        moved, hidden = points.clone(), torch.zeros_like(points[..., 0], dtype=torch.bool)
        if not len(rows):
            return Turned(moved, hidden, yaw, rows, frames, torch.zeros(0, GRID, GRID))
        turn = turn_faces(depths, to_frame(points[rows], frames), yaw[rows])
        moved[rows], hidden[rows] = from_frame(turn.points, frames), turn.hidden
        return Turned(moved, hidden, yaw, rows, frames, turn.source)


class Turned(NamedTuple):
    """A batch of faces of which some have been turned.

    Attributes:
        points: (B, 68, 2) landmarks after the turns, in pixels of the pictures.
        hidden: (B, 68) bool, whether the head covers the landmark.
        yaw: (B,) radians of the turns; 0 for faces that stay.
        rows: (R,) numbers of the turned faces in the batch.
        frames: (R, 4) their aligned squares, as in `Profiles`.
        source: (R, GRID, GRID) see `Turn`.
    """

    points: Tensor
    hidden: Tensor
    yaw: Tensor
    rows: Tensor
    frames: Tensor
    source: Tensor

    def carry(self, places: Tensor) -> Tensor:
        """Return where in the pictures to find what is seen at places (B, P, 2) after the turns."""
        return carry_back(places, self.rows, self.frames, self.source)


def carry_back(places: Tensor, rows: Tensor, frames: Tensor, source: Tensor) -> Tensor:
    """Return where in the pictures to find what is seen at places (B, P, 2) after turns.

    Args:
        places: pixels.
        rows, frames, source: of the R turned pictures, see `Turned`.
    """
    if not len(rows):
        return places
    own = to_frame(places[rows], frames)
    grid = own / (EXTENT / 2)
    inside = (grid.abs() < 1 - 1 / GRID).all(-1)
    x = F.grid_sample(source[:, None], grid[:, :, None], align_corners=False)[:, 0, :, 0]
    own = torch.stack([torch.where(inside, x, own[..., 0]), own[..., 1]], -1)
    result = places.clone()
    result[rows] = from_frame(own, frames)
    return result


def _axes(frames: Tensor) -> Tensor:
    """Return the matrices (R, 2, 2) from units of frames to pixels."""
    cos, sin = frames[:, 3].cos(), frames[:, 3].sin()
    return torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2) * frames[:, 2, None, None]


def to_frame(xy: Tensor, frames: Tensor) -> Tensor:
    """Convert points (R, P, 2) from pixels to units of frames (R, 4)."""
    axes = _axes(frames) / frames[:, 2, None, None] ** 2  # the inverse of a similarity, transposed
    return (xy - frames[:, None, :2]) @ axes


def from_frame(xy: Tensor, frames: Tensor) -> Tensor:
    """Convert points (R, P, 2) from units of frames (R, 4) to pixels."""
    return xy @ _axes(frames).transpose(1, 2) + frames[:, None, :2]


def upright(xy: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """Convert points (..., 2) from image pixels to the coordinates of this module."""
    return np.asarray((xy - frame.centre) @ np.linalg.inv(frame.matrix).T / SIZE)


def _inside(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move places (P, 2) outside the convex hull of points (N, 2) to its border, radially."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)
    centre = hull.mean(0)
    edges = np.roll(hull, -1, 0) - hull
    normals = np.stack([edges[:, 1], -edges[:, 0]], -1)
    reach = ((hull - centre) * normals).sum(-1)
    normals = normals / reach[:, None]  # a place is inside where all products are below 1
    excess = ((places - centre) @ normals.T).max(-1)
    return np.asarray(centre + (places - centre) / np.maximum(excess, 1)[:, None])


def _spline(known: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate values (N,) known at points (N, 2) at places (P, 2) by a thin-plate spline."""

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        square = ((first[:, None] - second) ** 2).sum(-1)
        return np.asarray(square * np.log(square + 1e-12))

    count = len(known)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(known, known) + SMOOTHING * np.eye(count)
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :], system[count + 1 :, :count] = known, known.T
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros(3)]))
    return np.asarray(
        kernel(places, known) @ weights[:count] + weights[count] + places @ weights[count + 1 :]
    )


def draw_yaw(yaw: Tensor, random: Random) -> Tensor:
    """Draw turns (B,) in radians for faces with these yaws: away from the front, up to MAX_YAW.

    Faces that are turned too far already get 0.
    """
    side = torch.where(random.chance(0.5, len(yaw)).bool(), 1.0, -1.0)
    side = torch.where(yaw.abs() > STRAIGHT, yaw.sign(), side)
    turns = side * (MAX_YAW - side * yaw) * random.uniform(0.1, 1, len(yaw))
    return torch.where(yaw.abs() > FRONTAL, 0.0, turns)


def turn_faces(depths: Depths, points: Tensor, yaw: Tensor) -> Turn:
    """Turn faces about the vertical axis of the upright head.

    Args:
        depths: of the B faces.
        points: (B, 68, 2) their landmarks.
        yaw: (B,) radians.
    """
    source, seen, moved, x = turn_surfaces(depths.surface, yaw)
    px, pz = move(points[..., 0], points[..., 1], depths.points, yaw[:, None])
    turned = torch.stack([px, points[..., 1]], -1)
    turned, on_outline = _outlined(turned, points, moved, x, yaw)
    grid = turned / (EXTENT / 2)
    there = F.grid_sample(seen[:, None], grid[:, :, None], align_corners=False)[:, 0, :, 0]
    hidden = (pz > there + HIDDEN_DEPTH) & ~on_outline
    return Turn(source, turned, hidden)


def turn_surfaces(surface: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn surfaces about the vertical axis of the upright head, and see what covers what.

    Args:
        surface: (B, LATTICE, LATTICE) depths, as in `Depths`.
        yaw: (B,) radians.

    Returns:
        `source` as in `Turn`; (B, GRID, GRID) the depth of what is seen at each place; (B, GRID, K)
        x after the turn of the texture's samples, and (K,) their x before.
    """
    batch, device = len(yaw), yaw.device
    fine = GRID * SUPERSAMPLING
    x = ((torch.arange(fine, device=device) + 0.5) / fine - 0.5) * EXTENT
    y = ((torch.arange(GRID, device=device) + 0.5) / GRID - 0.5) * EXTENT
    depths = F.interpolate(
        surface[:, None], size=(GRID, fine), mode="bilinear", align_corners=True
    )[:, 0]
    moved, depth = move(x.expand(batch, GRID, fine), y[:, None], depths, yaw[:, None, None])
    columns = ((moved / EXTENT + 0.5) * GRID).floor().long()
    inside = (columns >= 0) & (columns < GRID)
    # The nearest sample of each place wins: its depth, in steps, comes before its number.
    near = ((2 - depth).clamp(0, 4) * 2**16).long()
    key = near * fine + torch.arange(fine, device=device)
    key = torch.where(inside, key, torch.full_like(key, -1))
    best = torch.full((batch, GRID, GRID), -1, dtype=torch.long, device=device)
    best.scatter_reduce_(2, columns.clamp(0, GRID - 1), key, "amax")
    best = _filled(_closed(best, fine))
    source = x[best.clamp_min(0) % fine]
    seen = 2 - torch.div(best.clamp_min(0), fine, rounding_mode="floor").float() / 2**16
    return source, seen, moved, x


def move(x: Tensor, y: Tensor, depth: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and depth after a turn; the background stays in place behind everything."""
    radius = torch.maximum(x.abs(), y.abs() * 0.9)
    share = ((BACKGROUND - radius) / (BACKGROUND - HEAD)).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    cos, sin = yaw.cos(), yaw.sin()
    turned, behind = x * cos + depth * sin, depth * cos - x * sin
    return x + share * (turned - x), share * behind + (1 - share)


def _closed(best: Tensor, fine: int) -> Tensor:
    """Close gaps of up to two places through which something far behind a surface would be seen.

    A place takes the sample of a neighbour if that of both sides is nearer.

    Args:
        best: (B, H, W) depth and number of the sample that is seen; -1 where there is none.
        fine: number of samples in a row.
    """
    for reach in (1, 2):
        padded = F.pad(best, (reach, reach), value=-1)
        left = padded[..., : best.shape[-1]]
        right = padded[..., 2 * reach :]
        nearer = torch.minimum(left, right)
        behind = nearer - best > int(0.06 * 2**16) * fine
        best = torch.where(behind, nearer, best)
    return best


def _filled(best: Tensor) -> Tensor:
    """Fill places (B, H, W) that nothing covers with what their left or right neighbour shows."""
    index = torch.arange(best.shape[-1], device=best.device).expand_as(best)
    left = torch.where(best >= 0, index, -1).cummax(-1).values
    filled = best.gather(-1, left.clamp_min(0))
    right = torch.where(best >= 0, index, best.shape[-1]).flip(-1).cummin(-1).values.flip(-1)
    other = best.gather(-1, right.clamp_max(best.shape[-1] - 1))
    return torch.where(filled >= 0, filled, other)


def _outlined(
    turned: Tensor, points: Tensor, moved: Tensor, x: Tensor, yaw: Tensor
) -> tuple[Tensor, Tensor]:
    """Move points of the far jaw onto the outline of the turned face.

    Args:
        turned, points: (B, 68, 2) landmarks after and before.
        moved: (B, GRID, K) x after the turn of the texture's samples.
        x: (K,) their x before.
        yaw: (B,).

    Returns:
        The points, and (B, 68) bool, whether a point is on the outline.
    """
    rows = ((points[:, JAW, 1] / EXTENT + 0.5) * GRID).long().clamp(0, GRID - 1)
    row = moved.gather(1, rows[:, :, None].expand(-1, -1, moved.shape[2]))
    own, middle = points[:, JAW, 0], points[:, MIDLINE, 0][:, None]
    low, high = torch.minimum(own, middle), torch.maximum(own, middle)
    between = (x >= low[..., None]) & (x <= high[..., None])
    # The face looks to the left after a positive turn, so the outline of its left is the far one.
    far_left = (yaw > 0)[:, None]
    leftmost = torch.where(between, row, 9.0).amin(-1)
    rightmost = torch.where(between, row, -9.0).amax(-1)
    is_left = own < middle
    place = turned[:, JAW, 0]
    outline = torch.where(
        far_left & is_left,
        torch.minimum(place, leftmost),
        torch.where(~far_left & ~is_left, torch.maximum(place, rightmost), place),
    )
    result = turned.clone()
    result[:, JAW, 0] = outline
    on = torch.zeros(turned.shape[:2], dtype=torch.bool, device=turned.device)
    on[:, JAW] = (far_left & is_left) | (~far_left & ~is_left)
    return result, on
