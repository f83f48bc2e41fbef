"""Place heads and landmarks in space, for programs with three dimensions.

All places are in the axes of the head poses, which are OpenFace's: x to the right of the image, y
down, z away from the camera, in mm. `Axes` converts them to those of a program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.measures.head import places_in_camera
from facetrack.measures.pose import Camera, Poses

DEFAULT_DEPTH = 600.0
"""Distance from the camera, in mm, of points whose depth is not known: no head pose in sight."""


@dataclass(frozen=True)
class Axes:
    """The axes of a program.

    Attributes:
        matrix: (3, 3) rotation from the axes of the poses to those of the program.
        scale: units of the program in one mm.
    """

    matrix: np.ndarray
    scale: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Convert points (..., 3)."""
        return np.asarray(points @ self.matrix.T * self.scale)

    def rotation(self, rotation: np.ndarray) -> np.ndarray:
        """Convert rotations (..., 3, 3) of heads; the identity is a face towards the camera."""
        return np.asarray(self.matrix @ rotation @ self.matrix.T)


Y_UP_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
"""x to the right of the image, y up, z to the camera: glTF and BVH."""
Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""x to the right of the image, y away from the camera, z up: Blender."""


@dataclass(frozen=True)
class Head:
    """The poses of a face, and the places of its landmarks.

    Attributes:
        name: such as "face_0".
        poses: of the head, over T frames.
    """

    name: str
    poses: Poses


def heads_of(source: Source) -> list[Head]:
    """Return the heads of a source, one per face.

    Raises:
        FacetrackError: the layout has no head poses.
    """
    return [Head(f"face_{face.face_id}", face.poses) for face in source.measured.faces]


def posed_heads(source: Source) -> list[Head]:
    """Return the heads of a source, of which at least one has a pose.

    Raises:
        FacetrackError: the layout has no head poses, or no frame has one.
    """
    heads = heads_of(source)
    if not any(head.poses.known.any() for head in heads):
        raise FacetrackError(f"No frame of {source.stem} has a head pose.")
    return heads


def quaternions(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternions (T, 4) as w, x, y, z of rotations (T, 3, 3).

    Signs are chosen so that neighbours differ little, for programs that interpolate linearly.
    """
    from scipy.spatial.transform import Rotation

    if not len(rotation):
        return np.zeros((0, 4))
    result = np.roll(Rotation.from_matrix(rotation).as_quat(), 1, axis=1)
    flips = np.sign((result[1:] * result[:-1]).sum(1))
    signs = np.cumprod(np.concatenate([[1.0], np.where(flips == 0, 1.0, flips)]))
    return np.asarray(result * signs[:, None])


def places_of_points(source: Source, face: int, camera: Camera, poses: Poses | None) -> np.ndarray:
    """Return the places (T, N, 3) of the landmarks of a face, NaN where unknown.

    They are those of `facetrack.measures.head.places_in_camera`. In frames without a head pose,
    depths are those of the nearest frame with one; without any, DEFAULT_DEPTH.

    Args:
        source: of the tracks.
        face: index of the face.
        camera: of the frames.
        poses: of the face; None without poses.
    """
    xy = source.tracks.xy[:, face].astype(float)
    known = np.flatnonzero(poses.known) if poses is not None else np.zeros(0, int)
    if poses is None or not len(known):
        return camera.lines_of_sight(xy) * DEFAULT_DEPTH
    # The row with a pose that is nearest to each row.
    rows = np.arange(len(xy))
    after = np.searchsorted(known, rows).clip(0, len(known) - 1)
    before = (after - 1).clip(0)
    is_before = np.abs(known[before] - rows) <= np.abs(known[after] - rows)
    nearest = np.where(is_before, known[before], known[after])
    posed = replace(poses, rotation=poses.rotation[nearest], translation=poses.translation[nearest])
    return places_in_camera(xy, posed, camera, source.tracks.scheme)
