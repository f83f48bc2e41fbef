"""Correct a face's tracked points slowly by later landmark detections.

The tracker carries the points that one detection placed, and with them that detection's errors.
Later detections of the same face have errors of their own; the median of them all is nearer to the
truth than any single one. So each point gets an offset that is fixed to the face: it rotates and
scales with it. The offset moves gently towards the median difference between the detections and the
tracker. Between detections only the tracker moves the points, so the detector's jitter does not
reach them.
"""

from __future__ import annotations

import numpy as np

from facetrack.landmarks.geometry import face_size
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

MAX_DETECTIONS = 16
"""Number of latest detections whose median is taken."""
MIN_RELATIVE_SIZE = 0.5
"""Size of a face, relative to its present size, down to which an earlier detection counts: errors
of detections are a few per cent of the face, and at least a pixel or so."""
FULL_DETAIL_PX = 150.0
"""Size of a face in pixels from which on a larger one shows no more to the landmark networks."""
TIME_CONSTANT_S = 2.0
"""Seconds in which an offset covers two thirds of the way to its target."""


class OffsetCorrector:
    """Correct the N points of one face.

    Args:
        placed: (N, 2) landmarks of the detection that the tracker started from, in pixels.
    """

    def __init__(self, placed: np.ndarray) -> None:
        self._reference = as_complex(placed)
        # The tracker starts from the first detection: their difference is 0.
        self._observed = [np.zeros(len(placed), complex)]
        self._placed_size = face_size(placed)
        self._sizes = [self._placed_size]
        self._target = self._offset = np.zeros(len(placed), complex)
        self._time: float | None = None
        self._tracked = np.asarray(placed, float)

    def apply(self, times: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Add the offsets to the tracker's points.

        Args:
            times: (K,) seconds of consecutive frames.
            xy: (K, N, 2) pixels; NaN where they are unknown.

        Returns:
            (K, N, 2) float32.
        """
        corrected = np.array(xy, np.float32)
        for k, (now, points) in enumerate(zip(times, xy, strict=True)):
            if self._time is not None:
                share = 1 - np.exp(-abs(float(now) - self._time) / TIME_CONSTANT_S)
                self._offset = self._offset + share * (self._target - self._offset)
            self._time = float(now)
            if np.isfinite(points).all() and self._offset.any():
                moved = fit_rotation_scale(self._reference, as_complex(points)) * self._offset
                corrected[k] = points + as_xy(moved)
            self._tracked = points
        return corrected

    def observe(self, detected: np.ndarray, visible: np.ndarray) -> None:
        """Take in a detection of the last frame that `apply` was called for.

        Args:
            detected: (N, 2) landmarks in pixels.
            visible: (N,) bool; the offsets of hidden points do not change.
        """
        if not np.isfinite(self._tracked).all():
            return
        tracked = as_complex(self._tracked)
        pose = fit_rotation_scale(self._reference, tracked)
        if not pose:
            return
        offset = (as_complex(detected) - tracked) / pose
        self._observed.append(np.where(visible, offset, np.nan))
        # The first detection counts like any other until there are MAX_DETECTIONS.
        size = self._placed_size * abs(pose)
        self._sizes.append(size)
        smallest = MIN_RELATIVE_SIZE * min(size, FULL_DETAIL_PX)
        kept = [i for i, earlier in enumerate(self._sizes) if earlier >= smallest][-MAX_DETECTIONS:]
        self._observed = [self._observed[i] for i in kept]
        self._sizes = [self._sizes[i] for i in kept]
        offsets = np.stack(self._observed)
        seen = np.isfinite(offsets).any(0)
        median = np.nanmedian(offsets.real[:, seen], 0) + 1j * np.nanmedian(
            offsets.imag[:, seen], 0
        )
        self._target = self._target.copy()
        self._target[seen] = median
