"""Pyramidal Lucas-Kanade by OpenCV (Bouguet, 2000): the classical baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from facetrack.landmarks.geometry import inside_picture
from facetrack.trackers.base import PointTracker, StepResult

PATCH_PX = 21
"""Side in pixels of the patch compared."""
PYRAMID_LEVELS = 3
"""Pyramid levels above the frame itself, for motion of up to about PATCH_PX / 2 * 2**3 pixels."""
ITERATIONS, EPSILON = 30, 0.01
"""Steps per level, at most, and pixels of a step below which to stop."""
MAX_ROUND_TRIP_PX = 1.0
"""Pixels by which a point tracked forwards and back may miss its start and still be visible."""


@dataclass
class LucasKanadeState:
    """State between steps.

    Attributes:
        grey: (H, W) uint8, the last frame.
        xy: (N, 2) float32 pixels, each point's last visible position; NaN if it was never known.
    """

    grey: np.ndarray
    xy: np.ndarray


class LucasKanadeTracker(PointTracker):
    """Tracks each point's patch from frame to frame, and backwards as a check.

    A point is visible if both passes succeed, the round trip ends within `MAX_ROUND_TRIP_PX` of its
    start, and the point is inside the frame. Otherwise it stays at its last visible position, is
    marked not visible, and is searched for from there in the next frame. The appearance of the
    point is not stored: after an occlusion it may stay on the object that covered it. Confidence
    falls with the error of the round trip, and is one half at `MAX_ROUND_TRIP_PX`.
    """

    name = "lk"

    def start(self, frame: np.ndarray, points: np.ndarray) -> LucasKanadeState:
        """Return a new state that follows `points` (N, 2) of `frame` (H, W, 3) uint8 RGB."""
        xy = np.array(points, np.float32).reshape(-1, 2)
        return LucasKanadeState(_grey(frame), xy)

    def step(self, state: LucasKanadeState, frames: np.ndarray) -> StepResult:
        """Track the points through `frames` (K, H, W, 3) uint8 RGB; update `state` in place."""
        count = len(state.xy)
        xy = np.empty((len(frames), count, 2), np.float32)
        visible = np.empty((len(frames), count), bool)
        confidence = np.empty((len(frames), count), np.float32)
        for k, frame in enumerate(frames):
            grey = _grey(frame)
            flowed, error = _round_trip(state.grey, grey, state.xy)
            inside = inside_picture(flowed, grey)
            visible_now = inside & (error < MAX_ROUND_TRIP_PX)
            state.xy[visible_now] = flowed[visible_now]
            state.grey = grey
            xy[k], visible[k] = state.xy, visible_now
            confidence[k] = np.where(inside, np.exp2(-error / MAX_ROUND_TRIP_PX), 0)
        return StepResult(xy, visible, confidence)

    def describe(self) -> dict[str, Any]:
        """Return the record's entry for this tracker: its options and OpenCV's version."""
        return {
            "name": self.name,
            "window": PATCH_PX,
            "levels": PYRAMID_LEVELS,
            "iterations": ITERATIONS,
            "epsilon": EPSILON,
            "forward_backward_threshold": MAX_ROUND_TRIP_PX,
            "opencv": cv2.__version__,
            "paper": "Bouguet, Pyramidal implementation of the Lucas Kanade feature tracker, 2000",
        }


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def _flow(before: np.ndarray, now: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N, 2) in `now` of points `xy` of `before`, and if each was found (N,)."""
    flowed, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        now,
        xy.reshape(-1, 1, 2),
        None,  # type: ignore[call-overload]
        winSize=(PATCH_PX, PATCH_PX),
        maxLevel=PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
    )
    return flowed.reshape(-1, 2), found.reshape(-1).astype(bool)


def _round_trip(
    before: np.ndarray, now: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Track points forwards and backwards.

    Returns:
        (N, 2) positions in `now`, and (N,) pixels by which the way back misses `xy`, inf where a
        point was lost.
    """
    forward = np.full_like(xy, np.nan)
    error = np.full(len(xy), np.inf, np.float32)
    known = np.flatnonzero(np.isfinite(xy).all(-1))
    if len(known):
        forward[known], found = _flow(before, now, xy[known])
        back, returned = _flow(now, before, forward[known])
        miss = np.linalg.norm(back - xy[known], axis=-1)
        error[known] = np.where(found & returned, miss, np.inf)
    return forward, error
