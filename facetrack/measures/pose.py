"""Estimate head poses: perspective-n-point of the seen landmarks on a 3-D face.

Each frame's pose minimises the robust distance of the seen points from the projected face, by
damped Gauss-Newton steps over all frames at once. The face is that of the person; see
`facetrack.measures.person`.

Poses, angles and camera are OpenFace's; see `facetrack.measures.rotations`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.measures import rotations

MOTION_OF_REGION = {
    range(0, 17): 6.0,
    range(17, 27): 4.0,
    range(27, 31): 0.8,
    range(31, 36): 1.2,
    range(36, 48): 2.5,
    range(48, 68): 5.0,
}
"""By how far, in mm, the points of a region move on the head or differ from the face: the line of
the jaw, brows, bridge and base of the nose, eyelids, lips. So nose and eyes decide the pose."""
EYE_CORNERS, EYE_CORNER_MOTION = (36, 39, 42, 45), 0.8
MIN_POINTS = 8
"""Number of seen points from which there is a pose."""
MIN_STEADY, STEADY_MOTION = 4, 1.5
"""Number of seen points that hardly move (up to STEADY_MOTION) from which there is a pose."""
CUTOFF = 3.0
"""Distance in standard deviations at which a point's weight is halved."""
STEPS = 30
MAX_ANGLE_STEP, MAX_DAMPING = 0.3, 1e6
TOLERANCE = 2e-6
"""Change of an angle in radians below which the steps end."""
DOUBTFUL_LOSS = 1.0
"""Mean loss above which a second start is tried."""
BATCH = 1024
"""Number of frames solved at once, which limits the memory for long videos."""
FAR = 10.0
"""Yaw in degrees from which the outline of the far side of the jaw is not used."""
MAX_LOSS = 9.0
"""Mean loss of the points, in variances, above which a frame has no pose: they are no face."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        focal: focal length in pixels.
        centre: (x, y) of the optical axis in pixels, origin at the centre of the top-left pixel.
    """

    focal: float
    centre: tuple[float, float]

    @classmethod
    def of_frame(cls, size: tuple[int, int], focal: float | None = None) -> Camera:
        """Return the camera of frames of a size (width, height).

        Args:
            focal: in pixels; None for OpenFace's rule: 500 at 640 x 480, else in proportion.
        """
        width, height = size
        if focal is None:
            focal = (500 * width / 640 + 500 * height / 480) / 2
        return cls(float(focal), ((width - 1) / 2, (height - 1) / 2))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (..., 2) of points (..., 3) in the camera's axes."""
        depth = np.maximum(points[..., 2:], 1e-6)
        result: np.ndarray = self.focal * points[..., :2] / depth + self.centre
        return result

    def lines_of_sight(self, xy: np.ndarray) -> np.ndarray:
        """Return the directions (..., 3) in which pixels (..., 2) are seen, with a z of 1.

        All of a direction is NaN where the pixel is unknown.
        """
        across = (np.asarray(xy, float) - self.centre) / self.focal
        known = np.isfinite(across).all(-1, keepdims=True)
        directions = np.concatenate([across, np.ones_like(across[..., :1])], axis=-1)
        return np.where(known, directions, np.nan)


@dataclass(frozen=True)
class Poses:
    """Poses of a face over T frames: points on the head go to rotation @ point + translation.

    Attributes:
        rotation: (T, 3, 3), NaN where there is no pose.
        translation: (T, 3) mm, NaN where there is no pose.
        spread: (T, 6) standard deviations of three angles in radians and of the translation in mm,
            as the scatter of the points implies them.
        face: (68, 3) the person's face in mm.
    """

    rotation: np.ndarray
    translation: np.ndarray
    spread: np.ndarray
    face: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(T,) bool: frames with a pose."""
        return np.isfinite(self.translation).all(-1)

    @property
    def angles(self) -> np.ndarray:
        """(T, 3) OpenFace's pitch, yaw and roll in radians."""
        return rotations.to_angles(self.rotation)


def check_focal(focal: float | None) -> None:
    """Raise FacetrackError for a focal length that is not above 0 pixels; None is OpenFace's."""
    if focal is not None and not (np.isfinite(focal) and focal > 0):
        raise FacetrackError(f"The focal length must be above 0 pixels, not {focal:g}.")


def motion() -> np.ndarray:
    """Return by how far each point moves on a head (68,), in mm; see MOTION_OF_REGION."""
    values = np.zeros(68)
    for indices, value in MOTION_OF_REGION.items():
        values[list(indices)] = value
    values[list(EYE_CORNERS)] = EYE_CORNER_MOTION
    return values


def estimate(
    xy: np.ndarray, seen: np.ndarray, camera: Camera, face: np.ndarray, start: Poses | None = None
) -> Poses:
    """Estimate the pose of a face in each frame, independently of the others.

    Args:
        xy: (T, 68, 2) pixels, NaN where unknown.
        seen: (T, 68) bool, points that count.
        camera: of the frames.
        face: (68, 3) mm.
        start: poses to begin with, where known; None to find them.
    """
    xy = np.asarray(xy, float)
    seen = seen & np.isfinite(xy).all(-1)
    count = len(xy)
    steady = motion() <= STEADY_MOTION
    usable = (seen.sum(1) >= MIN_POINTS) & (seen[:, steady].sum(1) >= MIN_STEADY)
    rotation, translation = np.full((count, 3, 3), np.nan), np.full((count, 3), np.nan)
    spread = np.full((count, 6), np.nan)
    rows = np.flatnonzero(usable)
    for begin in range(0, len(rows), BATCH):
        part = rows[begin : begin + BATCH]
        points, weight = np.nan_to_num(xy[part]), seen[part].astype(float)
        first, second = _first_poses(points, weight, camera, face)
        if start is not None:
            first = _prefer(start, part, first)
        best = _solve(points, weight, camera, face, *first)
        doubtful = np.flatnonzero(best[3] > DOUBTFUL_LOSS)
        if len(doubtful):
            other = _solve(
                *(points[doubtful], weight[doubtful], camera, face),
                *(array[doubtful] for array in second),
            )
            better = other[3] < best[3][doubtful]
            for array, new in zip(best, other, strict=True):
                array[doubtful[better]] = new[better]
        good = (best[3] < MAX_LOSS) & (best[1][:, 2] > 0)
        part = part[good]
        rotation[part], translation[part], spread[part] = (array[good] for array in best[:3])
    return Poses(rotation, translation, spread, face)


def _prefer(
    start: Poses, rows: np.ndarray, found: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    known = start.known[rows]
    return (
        np.where(known[:, None, None], start.rotation[rows], found[0]),
        np.where(known[:, None], start.translation[rows], found[1]),
    )


def _first_poses(
    points: np.ndarray, weight: np.ndarray, camera: Camera, face: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return two first estimates of the poses by a scaled orthographic camera.

    The second is the first with the depth turned round, the other minimum of flat faces.
    """
    weight = weight / motion() ** 2
    weight = weight / weight.sum(1, keepdims=True)
    middle, centre = weight @ face, np.einsum("ti,tia->ta", weight, points)
    model, off = face - middle[:, None], points - centre[:, None]
    square = np.einsum("ti,tib,tic->tbc", weight, model, model) + 1e-3 * np.eye(3)
    affine = np.einsum("ti,tia,tib->tab", weight, off, model) @ np.linalg.inv(square)
    size = np.sqrt((affine**2).sum((1, 2)) / 2).clip(1e-9)
    rows = affine / size[:, None, None]
    rotation = rotations.nearest(np.concatenate([rows, _cross(rows)[:, None]], axis=1))
    turn = np.diag([-1.0, -1.0, 1.0])
    depth = (camera.focal / size)[:, None]
    centred = np.concatenate([(centre - camera.centre) / camera.focal * depth, depth], axis=1)
    first, second = (
        (matrix, centred - np.einsum("tab,tb->ta", matrix, middle))
        for matrix in (rotation, turn @ rotation @ turn)
    )
    return first, second


def _cross(rows: np.ndarray) -> np.ndarray:
    return np.cross(rows[:, 0], rows[:, 1])


def _solve(
    points: np.ndarray,
    weight: np.ndarray,
    camera: Camera,
    face: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Improve poses; return rotation, translation, spread (B, 6) and mean loss (B,)."""
    rotation, translation = rotation.copy(), translation.copy()
    damping = np.full(len(points), 1e-3)
    normal, right, loss = _system(points, weight, camera, face, rotation, translation)
    rows = np.arange(len(points))  # those that still change
    for _ in range(STEPS):
        damped = normal[rows] * (1 + damping[rows, None, None] * np.eye(6)) + 1e-9 * np.eye(6)
        step = np.linalg.solve(damped, right[rows, :, None])[..., 0]
        largest = np.abs(step[:, :3]).max(1)
        step = step * np.minimum(1, MAX_ANGLE_STEP / np.maximum(largest, 1e-12))[:, None]
        turned = rotations.from_vector(step[:, :3]) @ rotation[rows]
        moved = translation[rows] + step[:, 3:]
        moved[:, 2] = np.maximum(moved[:, 2], 0.1 * translation[rows, 2])
        tried = _system(points[rows], weight[rows], camera, face, turned, moved)
        better = tried[2] <= loss[rows]
        kept = rows[better]
        rotation[kept], translation[kept] = turned[better], moved[better]
        normal[kept], right[kept], loss[kept] = (array[better] for array in tried)
        damping[rows] = np.where(better, damping[rows] / 5, damping[rows] * 5)
        rows = rows[(largest > TOLERANCE) & (damping[rows] < MAX_DAMPING)]
        if not len(rows):
            break
    variance = np.diagonal(np.linalg.inv(normal + 1e-9 * np.eye(6)), axis1=1, axis2=2)
    return rotation, translation, np.sqrt(np.maximum(variance, 0)), loss


def point_weights(rotation: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weights (B, 68) of seen points, without the far outline of a turned head."""
    yaw = np.degrees(rotations.to_angles(rotation)[:, 1])
    weight = weight.copy()
    weight[:, 0:8] *= (yaw < FAR)[:, None]
    weight[:, 9:17] *= (yaw > -FAR)[:, None]
    return weight


def _system(
    points: np.ndarray,
    weight: np.ndarray,
    camera: Camera,
    face: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return normal matrices (B, 6, 6), right sides (B, 6) and mean losses (B,)."""
    off, slope, _ = linearise(points, camera, face, rotation, translation)
    pixels = camera.focal / np.maximum(translation[:, 2], 1e-6)
    deviation = motion() * pixels[:, None]
    square = (off**2).sum(-1) / deviation**2
    counted = point_weights(rotation, weight)
    loss = (counted * np.log1p(square / CUTOFF**2)).sum(1) * CUTOFF**2 / counted.sum(1)
    robust = counted / deviation**2 / (1 + square / CUTOFF**2)
    flat = slope.reshape(len(points), 136, 6)
    weighted = flat * np.repeat(robust, 2, axis=1)[..., None]
    normal = np.swapaxes(flat, 1, 2) @ weighted
    return normal, np.einsum("nij,ni->nj", weighted, off.reshape(len(points), 136)), loss


def linearise(
    points: np.ndarray,
    camera: Camera,
    face: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how far points (B, 68, 2) are from the projected face, and how that changes.

    Returns:
        Distances (B, 68, 2) in pixels; the projection's derivatives (B, 68, 2, 6) by rotation
        vector and translation; and those (B, 68, 2, 3) by the place in the camera's axes.
    """
    turned = np.einsum("tab,ib->tia", rotation, face)
    place = turned + translation[:, None]
    depth = np.maximum(place[..., 2], 1.0)
    off = points - (camera.focal * place[..., :2] / depth[..., None] + camera.centre)
    by_place = np.zeros((*points.shape[:2], 2, 3))
    by_place[..., 0, 0] = by_place[..., 1, 1] = camera.focal / depth
    by_place[..., 2] = -camera.focal * place[..., :2] / depth[..., None] ** 2
    slope = np.zeros((*points.shape[:2], 2, 6))
    x, y, z = np.moveaxis(turned, -1, 0)
    for a in range(2):
        row = by_place[..., a, :]
        slope[..., a, 0] = row[..., 2] * y - row[..., 1] * z
        slope[..., a, 1] = row[..., 0] * z - row[..., 2] * x
        slope[..., a, 2] = row[..., 1] * x - row[..., 0] * y
    slope[..., 3:] = by_place
    return off, slope, by_place
