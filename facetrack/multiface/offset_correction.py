"""Slowly corrects where a face's points are by what a landmark detector says of it now and then.

The tracker carries the points that one detection placed, and with them that detection's errors.
Later detections of the same face have errors of their own: their median is nearer to the truth
than any. So each point gets an offset, fixed to the face (it turns and grows with it), that moves
gently towards the median of what the detections differ by from the tracker. Between detections
nothing but the tracker moves the points, so the detector's jitter does not reach them.
"""

from __future__ import annotations

import numpy as np

from facetrack.ops.similarity import as_complex, fit_rotation_scale

MOST = 16
"""Detections that are remembered, besides the first."""
SECONDS = 2.0
"""Time in which an offset covers two thirds of what it has to change by."""


class OffsetCorrector:
    """The offsets of one face's N points.

    Args:
        placed: (N, 2) landmarks of the detection that the tracker started from.
    """

    def __init__(self, placed: np.ndarray) -> None:
        self._rest = as_complex(placed)
        # The tracker goes through the first detection: it differs from it by nothing.
        self._seen = [np.zeros(len(placed), complex)]
        self._target = self._now = np.zeros(len(placed), complex)
        self._time: float | None = None
        self._raw = np.asarray(placed, float)

    def apply(self, times: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """The tracker's points with their offsets.

        Args:
            times: (K,) seconds of consecutive frames.
            xy: (K, N, 2) pixels; NaN where they are unknown.

        Returns:
            (K, N, 2) float32.
        """
        corrected = np.array(xy, np.float32)
        for k, (now, points) in enumerate(zip(times, xy, strict=True)):
            if self._time is not None:
                share = 1 - np.exp(-abs(float(now) - self._time) / SECONDS)
                self._now = self._now + share * (self._target - self._now)
            self._time = float(now)
            if np.isfinite(points).all() and self._now.any():
                moved = self._pose(points) * self._now
                corrected[k] = points + np.stack([moved.real, moved.imag], -1)
            self._raw = points
        return corrected

    def observe(self, detected: np.ndarray, visible: np.ndarray) -> None:
        """Landmarks (N, 2) that a detector places in the last frame; of points that are not
        visible (N,) nothing is learned."""
        if not np.isfinite(self._raw).all():
            return
        pose = self._pose(self._raw)
        if not pose:
            return
        offset = (as_complex(detected) - as_complex(self._raw)) / pose
        self._seen.append(np.where(visible, offset, np.nan))
        # The first counts as long as there are few.
        self._seen = self._seen[-MOST:]
        known = np.stack(self._seen)
        some = np.isfinite(known).any(0)
        median = np.nanmedian(known.real[:, some], 0) + 1j * np.nanmedian(known.imag[:, some], 0)
        self._target = self._target.copy()
        self._target[some] = median

    def _pose(self, xy: np.ndarray) -> complex:
        """The turn and the growth since the start, as a complex number."""
        return fit_rotation_scale(self._rest, as_complex(xy))
