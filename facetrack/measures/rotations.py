"""Convert rotations between matrices, vectors and OpenFace's angles.

The camera's axes are those of OpenFace: x to the right, y down, z away from the camera.
"""

from __future__ import annotations

import numpy as np

_SMALL = 1e-8


def from_vector(vector: np.ndarray) -> np.ndarray:
    """Return the matrices (..., 3, 3) of rotation vectors (..., 3), in radians (Rodrigues)."""
    vector = np.asarray(vector, float)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    cross = np.zeros((*vector.shape, 3))
    x, y, z = np.moveaxis(vector, -1, 0)
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross[..., 1, 0], cross[..., 2, 0], cross[..., 2, 1] = z, -y, x
    safe = np.maximum(angle, _SMALL)
    first = np.where(angle > _SMALL, np.sin(angle) / safe, 1.0)
    second = np.where(angle > _SMALL, (1 - np.cos(angle)) / safe**2, 0.5)
    result: np.ndarray = np.eye(3) + first * cross + second * cross @ cross
    return result


def to_vector(matrix: np.ndarray) -> np.ndarray:
    """Return the rotation vectors (..., 3) of matrices (..., 3, 3), of at most half a turn."""
    from scipy.spatial.transform import Rotation

    matrix = np.asarray(matrix, float)
    vectors = Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(vectors).reshape(matrix.shape[:-1])


def to_angles(matrix: np.ndarray) -> np.ndarray:
    """Return OpenFace's pose_Rx, pose_Ry, pose_Rz (..., 3) in radians.

    The matrix is Rx @ Ry @ Rz. A positive Rx (pitch) lowers the nose, a positive Ry (yaw) turns it
    to the left of the image, a positive Rz (roll) moves the forehead to the right of the image.
    """
    x = np.arctan2(-matrix[..., 1, 2], matrix[..., 2, 2])
    y = np.arcsin(np.clip(matrix[..., 0, 2], -1, 1))
    z = np.arctan2(-matrix[..., 0, 1], matrix[..., 0, 0])
    return np.stack([x, y, z], -1)


def from_angles(angles: np.ndarray) -> np.ndarray:
    """Return the matrices (..., 3, 3) of OpenFace's angles (..., 3); see `to_angles`."""
    x, y, z = (np.asarray(angles, float)[..., [k]] * np.eye(3)[k] for k in range(3))
    result: np.ndarray = from_vector(x) @ from_vector(y) @ from_vector(z)
    return result


def to_direction(direction: np.ndarray) -> np.ndarray:
    """Return the shortest rotations (..., 3, 3) from the optical axis to directions (..., 3)."""
    unit = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(unit, -1, 0)
    across = np.hypot(x, y)
    angle = np.arctan2(across, z) / np.maximum(across, 1e-12)
    return from_vector(np.stack([-y * angle, x * angle, np.zeros_like(x)], -1))


def nearest(matrix: np.ndarray) -> np.ndarray:
    """Return the rotations (..., 3, 3) that are nearest to matrices (..., 3, 3)."""
    u, _, v = np.linalg.svd(matrix)
    sign = np.ones((*matrix.shape[:-1],))
    sign[..., 2] = np.sign(np.linalg.det(u @ v))
    result: np.ndarray = (u * sign[..., None, :]) @ v
    return result


def mean(matrix: np.ndarray) -> np.ndarray:
    """Return the mean (3, 3) of rotations (T, 3, 3) by the chordal distance."""
    return nearest(matrix.sum(0))


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles (...,) between rotations (..., 3, 3), in degrees."""
    cosine = (np.trace(np.swapaxes(first, -1, -2) @ second, axis1=-2, axis2=-1) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def sideways(matrix: np.ndarray) -> np.ndarray:
    """Return how far heads (..., 3, 3) are turned to either side, in degrees from 0 to 90.

    It is by how much the axis from ear to ear leaves the plane of the picture, which a roll of the
    picture does not change: the yaw of a head that neither nods nor rolls.
    """
    return np.degrees(np.abs(np.arcsin(np.clip(matrix[..., 2, 0], -1, 1))))
