"""Fit the 3-D face of a person to the landmarks of a video.

The shape of a person's head does not change, and views from several sides show its depth. So the
face is fitted to frames of all views together, with one pose for each frame. It is symmetric. What
is free to vary are the modes of the model, the relief of the face, and each pair of points a little
by itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facetrack.landmarks import schemes
from facetrack.measures import rotations
from facetrack.measures.face_model import SCHEME, SIDES, Face3d
from facetrack.measures.pose import (
    CUTOFF,
    Camera,
    Poses,
    estimate,
    linearise,
    motion,
    point_weights,
)

VIEW = 8.0
"""Views of a face within this many degrees of yaw and pitch count as one view."""
PER_VIEW, VIEW_WEIGHT = 8, 1.0
"""Number of frames used of each view, and of independent frames that these count as."""
PERSON_ROUNDS = 6
RELIEF = 0.05
"""Standard deviation of the depth of people's faces, as a share of it."""


def fit_person(
    xy: np.ndarray, seen: np.ndarray, camera: Camera, model: Face3d
) -> tuple[np.ndarray, Poses]:
    """Fit the face of a person to the frames, and estimate the poses with it.

    Frames that show the face from the same side share the weight of one view, because they repeat
    the same evidence.

    Args:
        xy, seen, camera: as for `estimate`.
        model: faces of people.

    Returns:
        The person's face (68, 3) in mm, and the poses.
    """
    xy = np.asarray(xy, float)
    seen = seen & np.isfinite(xy).all(-1)
    poses = estimate(xy, seen, camera, model.mean)
    if not poses.known.any():
        return model.mean, poses
    model = _flexible(model)
    rows, share = _views(poses)
    coefficients, used = np.zeros(len(model.modes)), poses
    points, counted = np.nan_to_num(xy[rows]), seen[rows]
    for _ in range(PERSON_ROUNDS):
        face = model.face(coefficients)
        picked = Poses(used.rotation[rows], used.translation[rows], used.spread[rows], face)
        used = used if len(rows) == 0 else _replaced(used, rows, points, counted, camera, picked)
        known = used.known[rows]
        if not known.any():
            return model.mean, poses
        step = _person_step(
            *(points[known], counted[known], share[known], camera, model, coefficients),
            *(used.rotation[rows][known], used.translation[rows][known]),
        )
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-3:
            break
    face = aligned(model.face(coefficients), model.mean)
    return face, estimate(xy, seen, camera, face, poses)


def fit_each(
    xy: np.ndarray, seen: np.ndarray, camera: Camera, model: Face3d
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the face of each of F people to one view, and estimate the poses with it.

    Args:
        xy: (F, 68, 2) pixels, NaN where unknown.
        seen: (F, 68) bool, points that count.
        camera, model: as for `fit_person`.

    Returns:
        Rotations (F, 3, 3) and translations (F, 3) in mm, NaN where there is no pose.
    """
    rotation, translation = np.full((len(xy), 3, 3), np.nan), np.full((len(xy), 3), np.nan)
    for face in range(len(xy)):
        _, poses = fit_person(xy[face, None], seen[face, None], camera, model)
        rotation[face], translation[face] = poses.rotation[0], poses.translation[0]
    return rotation, translation


def aligned(face: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return a face (68, 3) turned and shifted onto the mean face, which has the zero pose."""
    face, mean = face - face.mean(0), mean - mean.mean(0)
    return face @ rotations.nearest(mean.T @ face).T


def _flexible(model: Face3d) -> Face3d:
    """Return a model with further modes: its relief, and each point or pair of points by itself."""
    mean, swap = model.mean, schemes.get(SCHEME).swap
    modes = [*model.modes, mean * (0, 0, RELIEF)]
    for point, twin in enumerate(swap):
        for axis in range(3) if point < twin else (1, 2) if point == twin else ():
            mode = np.zeros_like(mean)
            mode[point, axis] = model.noise[point]
            mode[twin] = mode[point] * (SIDES if twin != point else 1)
            modes.append(mode)
    return replace(model, modes=np.array(modes))


def _replaced(
    poses: Poses,
    rows: np.ndarray,
    points: np.ndarray,
    seen: np.ndarray,
    camera: Camera,
    start: Poses,
) -> Poses:
    """Return poses with those of some rows estimated again."""
    again = estimate(points, seen, camera, start.face, start)
    rotation, translation = poses.rotation.copy(), poses.translation.copy()
    rotation[rows], translation[rows] = again.rotation, again.translation
    return replace(poses, rotation=rotation, translation=translation)


def _views(poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that show the face from all its sides, and the weight of each."""
    rows = np.flatnonzero(poses.known)
    cells = np.round(np.degrees(poses.angles[rows, :2]) / VIEW)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    chosen, share = [], []
    for number in range(cell.max() + 1):
        members = rows[cell == number]
        picked = members[np.unique(np.linspace(0, len(members) - 1, PER_VIEW).round().astype(int))]
        chosen.append(picked)
        share.append(np.full(len(picked), VIEW_WEIGHT / len(picked)))
    return np.concatenate(chosen), np.concatenate(share)


def _person_step(
    points: np.ndarray,
    seen: np.ndarray,
    share: np.ndarray,
    camera: Camera,
    model: Face3d,
    coefficients: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> np.ndarray:
    """Return a Gauss-Newton step (K,) of the coefficients, with the poses eliminated."""
    off, slope, by_place = linearise(
        points, camera, model.face(coefficients), rotation, translation
    )
    count = len(points)
    pixels = camera.focal / translation[:, 2]
    deviation = motion() * pixels[:, None]
    square = (off**2).sum(-1) / deviation**2
    weight = point_weights(rotation, seen.astype(float)) / deviation**2
    weight = weight / (1 + square / CUTOFF**2) * share[:, None]
    spread = by_place @ rotation[:, None]  # by the place on the head
    ways = np.einsum("tiac,kic->tiak", spread, model.modes, optimize=True)
    ways, moves = ways.reshape(count, 136, -1), slope.reshape(count, 136, 6)
    twice = np.repeat(weight, 2, axis=1)[..., None]
    move_weighted, flat = np.swapaxes(moves * twice, 1, 2), off.reshape(count, 136, 1)
    inner = np.linalg.inv(move_weighted @ moves + 1e-9 * np.eye(6))
    # What is left of the modes and of the distances after the best change of each pose.
    to_poses = inner @ move_weighted
    ways = ways - moves @ (to_poses @ ways)
    flat = flat - moves @ (to_poses @ flat)
    every = ways.reshape(count * 136, -1)
    weighted = every * twice.reshape(-1, 1)
    normal, right = weighted.T @ every, weighted.T @ flat.ravel()
    normal = normal + np.eye(len(coefficients))
    return np.asarray(np.linalg.solve(normal, right - coefficients))
