"""Take the pose of the head out of landmarks.

`track_head` estimates the poses of one face over a video and smooths them. `points_on_head` then
returns where each landmark lies on the head, seen from the front, and `places_in_camera` where it
lies in front of the camera. Both are points of the landmark's line of sight that have the depth of
the person's 3-D face.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from facetrack.landmarks import schemes
from facetrack.measures import rotations
from facetrack.measures.face_model import SCHEME, Face3d
from facetrack.measures.person import fit_person
from facetrack.measures.pose import Camera, Poses, estimate
from facetrack.measures.smoothing import runs_of, smooth

MAX_JUMP = np.radians(20.0)
"""Turn from one frame to the next above which the smoothing starts anew, as after a cut."""
JUMP_FACTOR = 6.0
"""Factor by which a step of direction or depth exceeds the usual one and those before and after it
where the smoothing starts anew: heads do not move so for a single frame, but cuts do."""
MIN_DISTANCE = 400.0
"""Least distance of a face from a camera whose focal length is not known, in mm."""
DISTANCE_FRAMES = 60
"""Number of frames from which the distance is taken."""
MIN_SIGHT = 0.2
"""Cosine between the line of sight and the direction the face looks in below which points are not
known: they are seen from the side."""
MIN_DEPTH = 1.0
"""Least distance of a landmark from the camera, in mm."""
BATCH = 512
"""Number of frames placed at once, which limits the memory for long videos."""


def choose_camera(
    xy: np.ndarray, seen: np.ndarray, size: tuple[int, int], focal: float | None, model: Face3d
) -> Camera:
    """Return the camera of a video.

    Without a focal length it is OpenFace's. If the nearest face would then be closer than
    MIN_DISTANCE, as in close-ups and crops of faces, the focal length is raised until it is not:
    a camera so near would distort faces in a way that they do not show.

    Args:
        xy: (T, F, 68, 2) pixels, NaN where unknown.
        seen: (T, F, 68) bool, points that count.
        size: (width, height) of the frames.
        focal: in pixels, if known.
        model: faces of people.
    """
    camera = Camera.of_frame(size, focal)
    if focal is not None:
        return camera
    rows = np.unique(np.linspace(0, len(xy) - 1, DISTANCE_FRAMES).round().astype(int))
    distances = []
    for face in range(xy.shape[1]):
        poses = estimate(xy[rows, face], seen[rows, face], camera, model.mean)
        if poses.known.any():
            distances.append(float(np.median(poses.translation[poses.known, 2])))
    factor = max(1.0, MIN_DISTANCE / min(distances)) if distances else 1.0
    return replace(camera, focal=camera.focal * factor)


def track_head(xy: np.ndarray, seen: np.ndarray, camera: Camera, model: Face3d) -> Poses:
    """Estimate the poses of a face over a video, smoothed in time.

    Args:
        xy: (T, 68, 2) pixels, NaN where unknown.
        seen: (T, 68) bool, points that count.
        camera: of the frames.
        model: faces of people.
    """
    _, poses = fit_person(xy, seen, camera, model)
    return smooth_poses(poses)


def smooth_poses(poses: Poses) -> Poses:
    """Smooth poses over each run of frames that have one."""
    rotation, translation = poses.rotation.copy(), poses.translation.copy()
    for run in _runs(poses):
        middle = rotations.mean(rotation[run])
        vectors = rotations.to_vector(middle.T @ rotation[run])
        depth = translation[run, 2:]
        # Directions and depth have independent errors.
        signals = np.concatenate([vectors, translation[run, :2] / depth, np.log(depth)], axis=1)
        smoothed = smooth(signals)
        rotation[run] = middle @ rotations.from_vector(smoothed[:, :3])
        depth = np.exp(smoothed[:, 5:])
        translation[run] = np.concatenate([smoothed[:, 3:5] * depth, depth], axis=1)
    return replace(poses, rotation=rotation, translation=translation)


def _runs(poses: Poses) -> list[slice]:
    runs = []
    for run in runs_of(poses.known):
        turns = np.swapaxes(poses.rotation[run][:-1], 1, 2) @ poses.rotation[run][1:]
        cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
        turned = np.arccos(np.clip(cosine, -1, 1)) > MAX_JUMP
        depth = poses.translation[run][:, 2]
        directions = poses.translation[run][:, :2] / depth[:, None]
        moved = np.linalg.norm(np.diff(directions, axis=0), axis=-1)
        jumps = np.flatnonzero(turned | _jumps(moved) | _jumps(np.abs(np.diff(np.log(depth))))) + 1
        bounds = [run.start, *(run.start + jumps).tolist(), run.stop]
        runs += [slice(a, b) for a, b in itertools.pairwise(bounds)]
    return runs


def _jumps(steps: np.ndarray) -> np.ndarray:
    """Return which steps (T,) of a signal are far larger than the usual one and those beside."""
    if len(steps) < 3:
        return np.zeros(len(steps), bool)
    around = np.maximum(np.append(steps[1:], 0), np.insert(steps[:-1], 0, 0))
    return np.asarray(steps > JUMP_FACTOR * np.maximum(around, np.median(steps)))


def points_on_head(xy: np.ndarray, poses: Poses, camera: Camera) -> np.ndarray:
    """Return the places of landmarks on the head.

    Args:
        xy: (T, 68, 2) pixels, NaN where unknown.
        poses, camera: of the frames.

    Returns:
        (T, 68, 3) mm in the head's axes: x to the left of the person who is seen, y down, z away
        from the camera; NaN where unknown. The depth is that of the person's face.
    """
    inverse = np.swapaxes(poses.rotation, 1, 2)
    sight = np.einsum("tab,tib->tia", inverse, camera.lines_of_sight(xy))
    start = -np.einsum("tab,tb->ta", inverse, poses.translation)[:, None]
    steep = sight[..., 2] / np.linalg.norm(sight, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = (poses.face[:, 2] - start[..., 2]) / sight[..., 2]
        places = start + length[..., None] * sight
    return np.where((steep > MIN_SIGHT)[..., None], places, np.nan)


def places_in_camera(
    xy: np.ndarray, poses: Poses, camera: Camera, scheme: str = SCHEME
) -> np.ndarray:
    """Return the places of landmarks in front of the camera.

    Each lies on its line of sight, so it is projected onto the landmark exactly, and its depth is
    that of the point on the person's posed face. OpenFace places its 3-D landmarks in this way, on
    its own face; see equation 10 of Baltrusaitis et al., 3D constrained local model (CVPR 2012).
    Landmarks that the 3-D face lacks have the depth of the nearest point in the image.

    Args:
        xy: (T, N, 2) pixels, NaN where unknown.
        poses, camera: of the frames.
        scheme: a layout that has the 68 points.

    Returns:
        (T, N, 3) mm in the camera's axes: x to the right of the image, y down, z away from the
        camera; NaN where the landmark or the pose is unknown.
    """
    xy = np.asarray(xy, float)
    depths = np.empty(xy.shape[:2])
    indices = list(schemes.index_map(scheme, SCHEME))
    others = np.setdiff1d(np.arange(xy.shape[1]), indices)
    for start in range(0, len(xy), BATCH):
        part = slice(start, start + BATCH)
        turned = np.einsum("tab,ib->tia", poses.rotation[part], poses.face)
        places = turned + poses.translation[part, None]
        depth = np.maximum(places[..., 2], MIN_DEPTH)
        depths[part, indices] = depth
        if len(others):
            off = xy[part, others, None] - camera.project(places)[:, None]
            nearest = np.nan_to_num((off**2).sum(-1), nan=np.inf).argmin(-1)
            depths[part, others] = np.take_along_axis(depth, nearest, axis=1)
    return np.asarray(camera.lines_of_sight(xy) * depths[..., None])
