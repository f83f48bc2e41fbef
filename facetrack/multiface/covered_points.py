"""Keep track of the points that were covered where a track started.

A tracker that starts on a hand follows the hand. Points that something covers in the first frame
are therefore carried along with the rest of the face, as hidden points, until a detection sees them
clearly. From then on they are tracked like all others.
"""

from __future__ import annotations

import numpy as np

from facetrack.landmarks.geometry import landmark_distance
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale
from facetrack.trackers import StepResult

MIN_REFERENCE_POINTS = 3
"""Number of uncovered points from which on they tell where the covered points are."""
MAX_FIT_DISTANCE = 0.1
"""Mean distance of detected points before and after the fit, in sizes of the face, up to which the
fit is used."""


class CoveredPoints:
    """The covered points of one face.

    Args:
        placed: (N, 2) the points in the frame in which tracking starts, pixels.
        probability: (N,) probability that each is visible there.

    Attributes:
        covered: (N,) bool.
    """

    def __init__(self, placed: np.ndarray, probability: np.ndarray) -> None:
        self._placed = as_complex(placed)
        self._probability = np.asarray(probability, np.float32)
        self.covered = self._probability < 0.5

    @classmethod
    def find(cls, placed: np.ndarray, probability: np.ndarray | None) -> CoveredPoints | None:
        """Return the covered points; None if none is covered or hardly any is uncovered.

        Args:
            placed: (N, 2) pixels.
            probability: (N,) that each point is visible; None where it is not known.
        """
        if probability is None:
            return None
        found = cls(placed, probability)
        enough = (~found.covered).sum() >= MIN_REFERENCE_POINTS
        return found if found.covered.any() and enough else None

    def apply(self, result: StepResult) -> StepResult:
        """Place the covered points by the others, as hidden points.

        Args:
            result: of the point tracker, for K frames.
        """
        xy, visible, confidence = (np.array(part) for part in result)
        covered = self.covered
        for k in range(len(xy)):
            known = ~covered & np.isfinite(xy[k]).all(-1)
            seen = known & visible[k]
            reference = seen if seen.sum() >= MIN_REFERENCE_POINTS else known
            if reference.sum() < 2:
                continue
            now = as_complex(xy[k])
            xy[k, covered] = as_xy(self._carry(self._placed, now, reference)[covered])
        visible[:, covered] = False
        limit = np.broadcast_to(self._probability, confidence.shape)
        confidence[:, covered] = np.minimum(confidence, limit)[:, covered]
        return StepResult(xy, visible, confidence)

    def uncovered(self, probability: np.ndarray | None) -> np.ndarray:
        """Return which covered points (N,) a detection sees.

        Args:
            probability: (N,) of being visible, by the detection.
        """
        if probability is None:
            return np.zeros_like(self.covered)
        return np.asarray(self.covered & (probability >= 0.5))

    def without(self, taken: np.ndarray, xy: np.ndarray) -> CoveredPoints | None:
        """Return the points that remain covered after those of `taken` (N,) are tracked.

        Args:
            xy: (N, 2) all points in the present frame, pixels.
        """
        return CoveredPoints.find(xy, np.where(taken, 1, self._probability))

    @staticmethod
    def merge(tracked: np.ndarray, detected: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Return the tracked points, with those of `taken` where a detection places them.

        The detection is first moved, turned and scaled to fit the points that stay, so that the two
        halves of a face are not placed by different standards.

        Args:
            tracked, detected: (N, 2) pixels.
            taken: (N,) bool.
        """
        fitted = CoveredPoints._carry(as_complex(detected), as_complex(tracked), ~taken)
        merged = np.array(tracked, float)
        merged[taken] = as_xy(fitted[taken])
        # Where few points stay, the fit may be worse than none.
        if landmark_distance(merged, detected, taken) > MAX_FIT_DISTANCE:
            merged[taken] = detected[taken]
        return merged

    @staticmethod
    def _carry(source: np.ndarray, target: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return complex source points moved by the similarity that fits `reference` points."""
        factor = fit_rotation_scale(source[reference], target[reference])
        return np.asarray(target[reference].mean() + factor * (source - source[reference].mean()))
