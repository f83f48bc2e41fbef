"""Correct a face's tracked points by later landmark detections.

The tracker carries the points that one detection placed, and with them that detection's errors. It
adds its own: it is wrong about a head that is turned in another way than about one that looks
back, and some points slip off what they followed. Later detections of the same face have errors of
their own. So each point gets an offset that is fixed to the face: it rotates and scales with it.

The offset is a Gaussian process (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006) over the view of the head and over time, which the detections observe. It has three parts: the
error of the first detection, which stays; the tracker's error about a view; and slips, which last
for some seconds. How far a point slips follows from what was detected, so a point that left its
place comes back at the next detection, and one that did not stays where the tracker sees it.
Between detections only the tracker moves the points, so the detector's jitter does not reach them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.detectors import scores
from facetrack.landmarks.geometry import face_size
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

MAX_DETECTIONS = 16
"""Number of latest detections that count."""

# Distances are in sizes of the face. Those below are standard deviations of each coordinate. They
# were chosen on real clips: they bring the points closest to detections that were not used.
PLACED_DEVIATION = 0.013
"""Of the error of the detection that the tracker started from."""
VIEW_DEVIATION = 0.016
"""Of the tracker's error about a view."""
SLIP_DEVIATION = 0.016
"""Of a point's slips, times one of SLIP_SIZES."""
SLIP_SIZES = (1.0, 2.0, 4.0, 8.0)
"""Sizes of slips that are tried for each point; the probability falls with the square."""
SLIP_DURATION_S = 4.0
"""Seconds in which a slip falls to 1/e."""
VIEW_SPREAD = 0.03
"""Difference of the tracked shapes at which two views have a correlation of 0.6. It is what a turn
of the head by some 15 degrees makes."""
OTHER_CORRELATION = 0.1
"""Correlation of the errors of a point while the tracker sees it and while it supposes it."""

EXACT = 0.54 * scores.EXACT
"""Distance within which a landmark with score p lies with probability p; the outer eye corners of a
frontal face are 0.54 sizes apart."""
SCORE_RANGE = 0.05, 0.985
"""Scores that are believed."""
PIXEL = 0.5
"""Standard deviation of detections in pixels that no landmark network falls below."""

GENTLE_S, QUICK_S = 1.0, 0.1
"""Seconds in which an offset moves by two thirds of what is left: of small and of large changes."""
LARGE_CHANGE = 0.011
"""Change of an offset between the two."""
SURPRISE, SURPRISED_SHARE = 2.5, 0.1
"""Deviations of a detection from the corrected point that surprise, and share of such points from
which on a detection does not confirm the track."""


@dataclass
class Observation:
    """A detection beside the tracker's points.

    Attributes:
        offset: (N,) complex, from tracked to detected points, in the reference's pose.
        variance: (N,) of the detection's errors.
        visible: (N,) bool, the points that the tracker saw.
        shape: (N,) complex, by how much the tracked points differ from the reference's.
        time: seconds since the start.
    """

    offset: np.ndarray
    variance: np.ndarray
    visible: np.ndarray
    shape: np.ndarray
    time: float


@dataclass
class _Fit:
    """The offset's regression on M observations.

    Attributes:
        shape, visible: (M, N) as in `Observation`.
        time: (M,).
        slip: (N,) size of each point's slips.
        weight: (M, N) complex, the factors of the covariances with the observations.
    """

    shape: np.ndarray
    visible: np.ndarray
    time: np.ndarray
    slip: np.ndarray
    weight: np.ndarray


class OffsetCorrector:
    """Correct the N points of one face.

    Args:
        placed: (N, 2) landmarks of the detection that the tracker started from, in pixels.

    Attributes:
        corrected: (K, N, 2) what `apply` has returned last.
    """

    def __init__(self, placed: np.ndarray) -> None:
        self._reference = as_complex(placed)
        self._size = face_size(placed)
        zeros, seen = np.zeros(len(placed), complex), np.ones(len(placed), bool)
        # The tracker starts from the first detection: their difference is 0.
        variance = np.full(len(placed), PLACED_DEVIATION**2 + (PIXEL / self._size) ** 2)
        self._observed = [Observation(zeros, variance, seen, zeros, 0.0)]
        self._fit: _Fit | None = None
        self._offset = zeros
        self._seconds = 0.0
        self._time: float | None = None
        self._tracked, self._visible = np.asarray(placed, float), seen
        self._last: tuple[np.ndarray, float, float | None, tuple[np.ndarray, ...]] | None = None
        self.corrected = np.zeros((0, len(placed), 2), np.float32)

    def apply(self, times: np.ndarray, xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Add the offsets to the tracker's points.

        Args:
            times: (K,) seconds of consecutive frames.
            xy: (K, N, 2) pixels; NaN where they are unknown.
            visible: (K, N) bool, the points that the tracker sees.

        Returns:
            (K, N, 2) float32.
        """
        self._last = self._offset, self._seconds, self._time, (times, xy, visible)
        corrected = np.array(xy, np.float32)
        for k, (now, points) in enumerate(zip(times, xy, strict=True)):
            passed = 0.0 if self._time is None else abs(float(now) - self._time)
            self._time, self._tracked, self._visible = float(now), points, visible[k]
            self._seconds += passed
            if self._fit is None or not np.isfinite(points).all():
                continue
            tracked = as_complex(points)
            pose = fit_rotation_scale(self._reference, tracked)
            if pose:
                change = self._target(self._fit, self._shape_of(tracked, pose)) - self._offset
                slow = GENTLE_S / (1 + (np.abs(change) / LARGE_CHANGE) ** 2)
                share = -np.expm1(-passed / np.maximum(slow, QUICK_S))
                self._offset = self._offset + share * change
                corrected[k] = points + as_xy(pose * self._size * self._offset)
        self.corrected = corrected
        return corrected

    def apply_again(self) -> np.ndarray:
        """Correct the frames of the last `apply` again, with what was observed since."""
        assert self._last is not None
        self._offset, self._seconds, self._time, frames = self._last
        return self.apply(*frames)

    def observe(self, detected: np.ndarray, score: np.ndarray) -> bool:
        """Take in a detection of the last frame that `apply` was called for.

        Args:
            detected: (N, 2) landmarks in pixels.
            score: (N,) their scores in [0, 1].

        Returns:
            Whether most landmarks are where the corrected points let them be expected.
        """
        if not np.isfinite(self._tracked).all():
            return True
        tracked = as_complex(self._tracked)
        pose = fit_rotation_scale(self._reference, tracked)
        if not pose:
            return True
        offset = (as_complex(detected) - tracked) / (pose * self._size)
        variance = _variance(score) + (PIXEL / (self._size * abs(pose))) ** 2
        shape = self._shape_of(tracked, pose)
        self._observed.append(Observation(offset, variance, self._visible, shape, self._seconds))
        # The first detection counts like any other until there are MAX_DETECTIONS.
        self._observed = self._observed[-MAX_DETECTIONS:]
        self._fit = _fit(self._observed)
        away = np.abs(offset - self._offset) / np.sqrt(variance + VIEW_DEVIATION**2)
        return bool((away > SURPRISE).mean() <= SURPRISED_SHARE)

    def _shape_of(self, tracked: np.ndarray, pose: complex) -> np.ndarray:
        """Return by how much points (N,) differ from the reference beside place, size and roll."""
        shape = tracked / pose - self._reference
        return np.asarray((shape - shape.mean()) / self._size)

    def _target(self, fit: _Fit, shape: np.ndarray) -> np.ndarray:
        """Return the most probable offsets (N,) in the present view."""
        turned = _difference(fit.shape, shape)
        passed = np.abs(fit.time - self._seconds)
        alike = fit.visible == self._visible
        return np.asarray((_covariance(turned, passed, alike, fit.slip) * fit.weight).sum(0))


def _variance(score: np.ndarray) -> np.ndarray:
    """Return the variances (N,) of each coordinate of landmarks with scores (N,)."""
    # The distance of two coordinates with the same deviation has a Rayleigh distribution.
    believed = np.clip(np.nan_to_num(score), *SCORE_RANGE)
    return np.asarray(EXACT**2 / (-2 * np.log1p(-believed)))


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the root mean square distance (...) of shapes (..., N).

    With another distance than a Euclidean one, `_covariance` would not be positive definite.
    """
    return np.sqrt((np.abs(a - b) ** 2).mean(-1))


def _covariance(
    turned: np.ndarray, passed: np.ndarray, alike: np.ndarray, slip: np.ndarray
) -> np.ndarray:
    """Return the covariances (..., N) of the offsets in two frames.

    Args:
        turned: (...) difference of the views.
        passed: (...) seconds between them.
        alike: (..., N) bool, whether the tracker sees a point in both or in neither.
        slip: (N,) size of each point's slips.
    """
    square = (turned / VIEW_SPREAD) ** 2
    view = VIEW_DEVIATION**2 * np.exp(-square / 2)
    # A slip outlasts a turn of the head for longer than the tracker's error about a view does.
    lasting = SLIP_DEVIATION**2 * np.exp(-square / 8 - passed / SLIP_DURATION_S)
    own = view[..., None] + lasting[..., None] * slip**2
    return np.asarray(PLACED_DEVIATION**2 + np.where(alike, 1, OTHER_CORRELATION) * own)


def _fit(observed: list[Observation]) -> _Fit:
    """Fit the offsets to M observations, with the most probable size of each point's slips."""
    shape, visible, offset, variance = (
        np.stack([getattr(o, name) for o in observed])
        for name in ("shape", "visible", "offset", "variance")
    )
    time = np.array([o.time for o in observed])
    turned = _difference(shape[:, None], shape)
    passed = np.abs(time[:, None] - time)
    alike = visible[:, None] == visible
    noise = np.eye(len(time)) * variance.T[:, None]
    least = np.full(offset.shape[1], np.inf)
    slip, weight = np.ones_like(least), np.zeros_like(offset)
    for size in SLIP_SIZES:
        covariance = _covariance(turned, passed, alike, np.full_like(least, size))
        lower = np.linalg.cholesky(np.moveaxis(covariance, -1, 0) + noise)
        inner = np.linalg.solve(lower, offset.T[..., None])
        # Both coordinates count: the negative logarithm of the likelihood, and of the prior.
        spread = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(-1)
        cost = (np.abs(inner) ** 2).sum((1, 2)) / 2 + 2 * spread + 2 * np.log(size)
        better = cost < least
        found = np.linalg.solve(lower.swapaxes(1, 2), inner)[..., 0].T
        least, slip = np.where(better, cost, least), np.where(better, size, slip)
        weight = np.where(better, found, weight)
    return _Fit(shape, visible, time, slip, weight)
