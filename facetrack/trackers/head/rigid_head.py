"""Find the hidden landmarks of a turning head: where the head is, and what moves on it.

The landmarks of the query frame, with the depth that a 3-D face fitted to them has there, are a
rigid head. Its pose in a later frame follows from the landmarks that are visible then. The hidden
ones are projected, and shifted by what the visible ones near them do beside the rigid motion (a jaw
that opens), by moving least squares as in `facetrack.trackers.tapir.motion`. The motion of the
neighbours alone would leave the far side of a turned head beside the head, because its depth is
another.

The camera is scaled orthographic. Axes are those of `facetrack.measures.face_model`: x right, y
down, z away from the camera. A face's unit is the larger side of the box around its landmarks in
the query frame.
"""

from __future__ import annotations

import numpy as np
import torch

from facetrack.measures import face_model, rotations
from facetrack.measures.pose import CUTOFF, Camera, estimate, motion
from facetrack.ops.similarity import as_complex, as_xy
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import FACE_SHARE
from facetrack.trackers.tapir.motion import (
    HALF_WEIGHT_PX,
    HELD_WEIGHT,
    SimilarityFit,
    moments_of,
    neighbour_weights,
)

MAX_STEPS, TOLERANCE = 6, 1e-3
"""Number of Gauss-Newton steps for a pose, and the change below which they end."""
MAX_STEP = 0.5
"""Largest change in a step: radians, logarithm of the size, or units of the face."""
TRACKING_NOISE = 0.01
"""Standard deviation of a tracked landmark in units of the face, besides its motion on the head."""
POSE_CHANGE = np.array([0.02, 0.02, 0.02, 0.01, 0.02, 0.02])
"""Standard deviations by which a pose is off after a frame of even motion: rotation vector in
radians, logarithm of the size, shift in units of the face. The landmarks that are visible on a
turned head lie nearly in a plane, and many poses agree with them. With wide deviations, some heads
turned half back while they were seen from the side."""
MOTION_SHARE = 0.8
"""Share of the last frame's motion that goes on in the next."""
UNIT_PX = FACE_SHARE * RESOLUTION
"""Pixels of a unit in the window for which the constants of `SimilarityFit` were chosen."""


class RigidHead:
    """The head of one face, with its pose and motion in the last frame with hidden landmarks.

    Args:
        landmarks: (68, 2) pixels in the query frame, finite, not all in one place.
        size: (width, height) of the frame.
    """

    def __init__(self, landmarks: np.ndarray, size: tuple[int, int]) -> None:
        points = np.asarray(landmarks, float)
        self._centre = points.mean(0)
        self._unit = max(float(np.ptp(points, axis=0).max()), 1e-6)
        flat = self._to_unit(points)
        mean = face_model.load().mean
        camera = Camera.of_frame(size)
        poses = estimate(points[None], np.ones((1, len(points)), bool), camera, mean)
        # Landmarks that are no face's have no depth: the head is then a plane.
        depth, scale = np.zeros(len(points)), 1 / np.ptp(mean, axis=0).max()
        if poses.known[0]:
            # In the axes of the line of sight, as the face is seen here, not in the camera's.
            turned = mean @ (rotations.to_direction(poses.translation[0]).T @ poses.rotation[0]).T
            scale = float((flat * turned[:, :2]).sum() / (turned[:, :2] ** 2).sum())
            depth = scale * turned[:, 2]
        self._points = np.concatenate([flat, depth[:, None]], 1)
        self._variance = (scale * motion()) ** 2 + TRACKING_NOISE**2
        window = torch.from_numpy(flat * UNIT_PX).float()
        self._closeness = neighbour_weights(window[None]).numpy()[:, : len(points)]
        self._rotation, self._log_size, self._shift = np.eye(3), 0.0, np.zeros(2)
        self._motion, self._frames_since = np.zeros(6), 1

    def place_hidden(self, xy: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """Return tracked landmarks with the hidden ones placed by the head.

        Args:
            xy: (68, 2) float pixels, finite.
            confidence: (68,) probability that each is visible and right. From 0.5 on it stays where
                it is and says where the head is, the more the higher the probability; from 0.5 to
                0 the head places it more and more.

        Returns:
            (68, 2) of the same type; `xy` itself if none is hidden.
        """
        share = np.minimum(2 * confidence.astype(float), 1)
        if (share == 1).all():
            self._frames_since += 1
            return xy
        points = self._to_unit(xy.astype(float))
        weight = np.maximum(2 * confidence.astype(float) - 1, 0)
        self._fit_pose(points, weight)
        placed = self._shift_by_neighbours(self._project(), points, weight)
        mixed = placed + share[:, None] * (points - placed)
        return (mixed * self._unit + self._centre).astype(xy.dtype)

    def _to_unit(self, xy: np.ndarray) -> np.ndarray:
        return (xy - self._centre) / self._unit

    def _turned(self) -> np.ndarray:
        """Return the head (68, 3) in its pose, without the shift."""
        return np.asarray(np.exp(self._log_size) * self._points @ self._rotation.T)

    def _project(self) -> np.ndarray:
        """Return where the head's landmarks are seen, (68, 2)."""
        return np.asarray(self._turned()[:, :2] + self._shift)

    def _fit_pose(self, points: np.ndarray, weight: np.ndarray) -> None:
        """Fit the pose to points (68, 2) of weights (68,) by damped, robust Gauss-Newton steps."""
        frames, self._frames_since = self._frames_since, 1
        goes_on = frames == 1 and weight.any()
        expected = MOTION_SHARE * self._motion if goes_on else np.zeros(6)
        self._move(expected)
        change, prior = np.zeros(6), (frames * POSE_CHANGE) ** -2
        for _ in range(MAX_STEPS):
            turned = self._turned()
            off = points - turned[:, :2] - self._shift
            slope = _slope(turned)
            square = (off**2).sum(1) / self._variance
            counts = weight / self._variance / (1 + square / CUTOFF**2)
            weighted = (slope * counts[:, None, None]).reshape(-1, 6)
            normal = weighted.T @ slope.reshape(-1, 6) + np.diag(prior)
            step = np.linalg.solve(normal, off.reshape(-1) @ weighted - prior * change)
            step *= min(1.0, MAX_STEP / max(float(np.abs(step).max()), 1e-12))
            change += step
            self._move(step)
            if np.abs(step).max() < TOLERANCE:
                break
        self._motion = (expected + change) / frames

    def _move(self, change: np.ndarray) -> None:
        """Change the pose by (6,), as `POSE_CHANGE`."""
        self._rotation = rotations.from_vector(change[:3]) @ self._rotation
        self._log_size += float(change[3])
        self._shift = self._shift + change[4:]

    def _shift_by_neighbours(
        self, rigid: np.ndarray, points: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Move projected landmarks (68, 2) with the visible ones near them, (68, 2)."""
        # The similarities go from the projected head to the tracked points.
        source, now = (
            as_complex(place * UNIT_PX).astype(np.complex64)[None] for place in (rigid, points)
        )
        still = moments_of(source, source).sum(1, keepdims=True)
        held = still * np.float32(HELD_WEIGHT / len(points))
        fit = SimilarityFit(source, moments_of(source, now), held, self._closeness)
        predicted, _ = fit.predict(weight[None].astype(np.float32))
        distance = np.abs(predicted - now) / HALF_WEIGHT_PX
        robust = weight / (1 + distance**2)
        predicted, _ = fit.predict(robust.astype(np.float32))
        return np.asarray(as_xy(predicted[0]) / UNIT_PX)


def _slope(turned: np.ndarray) -> np.ndarray:
    """Return how projected points (68, 3) change with the pose: (68, 2, 6), as `POSE_CHANGE`."""
    x, y, z = turned.T
    slope = np.zeros((len(turned), 2, 6))
    slope[:, 0, 1], slope[:, 0, 2], slope[:, 0, 3], slope[:, 0, 4] = z, -y, x, 1
    slope[:, 1, 0], slope[:, 1, 2], slope[:, 1, 3], slope[:, 1, 5] = -z, x, y, 1
    return slope
