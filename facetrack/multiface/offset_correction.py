"""Correct a face's tracked points slowly by later landmark detections.

The tracker carries the points that one detection placed, and with them that detection's errors.
Later detections of the same face have errors of their own; the middle of them all is nearer to the
truth than any single one. So each point gets an offset that is fixed to the face: it rotates and
scales with it. It is a robust mean of the differences between the detections and the tracker. A
detection gains its weight gently, so no point jumps. It counts the more, the more alike the views
of the head are: a tracker is not wrong in the same way about a head that is turned and one that
looks back. Between detections only the tracker moves the points, so the detector's jitter does not
reach them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.landmarks.geometry import face_size
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

MAX_DETECTIONS = 16
"""Number of latest detections that count."""
MIN_RELATIVE_SIZE = 0.5
"""Size of a face, relative to its present size, down to which an earlier detection counts: errors
of detections are a few per cent of the face, and at least a pixel or so."""
FULL_DETAIL_PX = 150.0
"""Size of a face in pixels from which on a larger one shows no more to the landmark networks."""
TIME_CONSTANT_S = 2.0
"""Seconds in which a detection gains two thirds of its weight."""
SMOOTHING_S = 0.2
"""Seconds in which an offset follows a change of the view by two thirds."""
VIEW_SPREAD = 0.03
"""Difference of the tracked shapes, in sizes of the face, at which a detection counts by 0.6. It is
what a turn of the head by some 15 degrees makes."""
MIN_WEIGHT, OTHER_WEIGHT = 1e-6, 1e-3
"""Weight of a detection of any view, and share of one while the tracker did not see the point, if
it sees it now, or the other way round: they count where there is no other."""

DETECTION_NOISE = 0.003
"""Differences, in sizes of the face, that are averaged; of larger ones the median is taken."""
STEPS = 8
"""Number of steps towards the robust mean."""


@dataclass
class Observation:
    """A detection beside the tracker's points.

    Attributes:
        offset: (N,) complex, from tracked to detected points, in the reference's pose.
        visible: (N,) bool, the points that the tracker saw.
        shape: (N,) complex, by how much the tracked points differ from the reference's.
        size: of the face in pixels.
        age: seconds since then.
    """

    offset: np.ndarray
    visible: np.ndarray
    shape: np.ndarray
    size: float
    age: float = 0.0


class OffsetCorrector:
    """Correct the N points of one face.

    Args:
        placed: (N, 2) landmarks of the detection that the tracker started from, in pixels.
    """

    def __init__(self, placed: np.ndarray) -> None:
        self._reference = as_complex(placed)
        self._placed_size = face_size(placed)
        # The tracker starts from the first detection: their difference is 0.
        self._offset = np.zeros(len(placed), complex)
        seen = np.ones(len(placed), bool)
        start = Observation(self._offset, seen, self._offset, self._placed_size, np.inf)
        self._observed = [start]
        self._time: float | None = None
        self._tracked, self._visible = np.asarray(placed, float), seen

    def apply(self, times: np.ndarray, xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Add the offsets to the tracker's points.

        Args:
            times: (K,) seconds of consecutive frames.
            xy: (K, N, 2) pixels; NaN where they are unknown.
            visible: (K, N) bool, the points that the tracker sees.

        Returns:
            (K, N, 2) float32.
        """
        corrected = np.array(xy, np.float32)
        for k, (now, points) in enumerate(zip(times, xy, strict=True)):
            seconds = 0.0 if self._time is None else abs(float(now) - self._time)
            self._time, self._tracked, self._visible = float(now), points, visible[k]
            for observation in self._observed:
                observation.age += seconds
            if not np.isfinite(points).all():
                continue
            tracked = as_complex(points)
            pose = fit_rotation_scale(self._reference, tracked)
            if pose:
                target = self._target(self._shape_of(tracked, pose), visible[k])
                share = 1 - np.exp(-seconds / SMOOTHING_S)
                self._offset = self._offset + share * (target - self._offset)
                corrected[k] = points + as_xy(pose * self._offset)
        return corrected

    def observe(self, detected: np.ndarray) -> None:
        """Take in a detection of the last frame that `apply` was called for.

        Args:
            detected: (N, 2) landmarks in pixels.
        """
        if not np.isfinite(self._tracked).all():
            return
        tracked = as_complex(self._tracked)
        pose = fit_rotation_scale(self._reference, tracked)
        if not pose:
            return
        offset = (as_complex(detected) - tracked) / pose
        size = self._placed_size * abs(pose)
        shape = self._shape_of(tracked, pose)
        self._observed.append(Observation(offset, self._visible, shape, size))
        # The first detection counts like any other until there are MAX_DETECTIONS.
        smallest = MIN_RELATIVE_SIZE * min(size, FULL_DETAIL_PX)
        self._observed = [o for o in self._observed if o.size >= smallest][-MAX_DETECTIONS:]

    def _shape_of(self, tracked: np.ndarray, pose: complex) -> np.ndarray:
        """Return by how much points (N,) differ from the reference beside place, size and roll."""
        shape = tracked / pose - self._reference
        return np.asarray(shape - shape.mean())

    def _target(self, shape: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Return the offsets (N,) that the detections of similar views say."""
        change = np.array([np.abs(shape - o.shape).mean() for o in self._observed])
        ripe = -np.expm1(-np.array([o.age for o in self._observed]) / TIME_CONSTANT_S)
        alike = np.exp(-0.5 * (change / (VIEW_SPREAD * self._placed_size)) ** 2)
        seen = np.stack([o.visible for o in self._observed])
        weight = (np.maximum(alike, MIN_WEIGHT) * np.maximum(ripe, 1e-9))[:, None]
        # A point that the tracker sees and one that it only supposes have different errors.
        weight = weight * np.where(seen == visible, 1.0, OTHER_WEIGHT)
        offsets = np.stack([o.offset for o in self._observed])
        return robust_mean(offsets, weight, DETECTION_NOISE * self._placed_size)


def robust_mean(values: np.ndarray, weight: np.ndarray, noise: float) -> np.ndarray:
    """Return means (N,) of complex values (M, N) with positive weights (M, N), like medians.

    Each minimises the weighted sum of sqrt(noise**2 + distance**2), which has one minimum, by
    Weiszfeld's steps ("Sur le point pour lequel la somme des distances de n points donnes est
    minimum", Tohoku 1937). So it changes steadily with the weights, which a median does not.
    """
    mean = (weight * values).sum(0) / weight.sum(0)
    for _ in range(STEPS):
        near = weight / np.sqrt(noise**2 + np.abs(values - mean) ** 2)
        mean = (near * values).sum(0) / near.sum(0)
    return np.asarray(mean)
