"""Pyramidal Lucas-Kanade (Bouguet's, OpenCV's): the classical baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from facetrack.trackers.base import PointTracker, StepResult

WINDOW = 21  # side of the patch compared, pixels
LEVELS = 3  # pyramid levels above the frame itself: motion up to about WINDOW / 2 * 2**3 pixels
ITERATIONS, EPSILON = 30, 0.01  # per level: stop after so many or below so many pixels
THRESHOLD = 1.0  # pixels a point may miss its start by, tracked there and back, to count as seen


@dataclass
class LucasKanadeState:
    """All that is remembered between steps.

    Attributes:
        grey: (H, W) uint8, the last frame.
        xy: (N, 2) float32 pixels, where each point was last seen; NaN for one never known.
    """

    grey: np.ndarray
    xy: np.ndarray


class LucasKanade(PointTracker):
    """Follows each point's patch from one frame to the next, and back as a check.

    A point is visible where both ways succeed, end within `THRESHOLD` pixels of the start and
    inside the frame. A point that fails stays where it was last seen, is marked not visible, and
    is looked for from there in the next frame. There is no memory of what the point looked like:
    after an occlusion it may well hold on to whatever covered it. Confidence falls with the
    round trip's error, one half at the threshold.
    """

    name = "lk"

    def start(self, frame: np.ndarray, points: np.ndarray) -> LucasKanadeState:
        """Remember `points` (N, 2) of `frame` (H, W, 3) uint8 RGB."""
        xy = np.array(points, np.float32).reshape(-1, 2)
        return LucasKanadeState(_grey(frame), xy)

    def step(self, state: LucasKanadeState, frames: np.ndarray) -> StepResult:
        """Find the points in `frames` (K, H, W, 3) uint8 RGB; updates `state` in place."""
        count = len(state.xy)
        xy = np.empty((len(frames), count, 2), np.float32)
        visible = np.empty((len(frames), count), bool)
        confidence = np.empty((len(frames), count), np.float32)
        for k, frame in enumerate(frames):
            grey = _grey(frame)
            there, error = _there_and_back(state.grey, grey, state.xy)
            height, width = grey.shape
            inside = (there >= -0.5).all(-1) & (there < (width - 0.5, height - 0.5)).all(-1)
            seen = inside & (error < THRESHOLD)
            state.xy[seen] = there[seen]
            state.grey = grey
            xy[k], visible[k] = state.xy, seen
            confidence[k] = np.where(inside, np.exp2(-error / THRESHOLD), 0)
        return StepResult(xy, visible, confidence)

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this tracker: its options and OpenCV's version."""
        return {
            "name": self.name,
            "window": WINDOW,
            "levels": LEVELS,
            "iterations": ITERATIONS,
            "epsilon": EPSILON,
            "forward_backward_threshold": THRESHOLD,
            "opencv": cv2.__version__,
            "paper": "Bouguet, Pyramidal implementation of the Lucas Kanade feature tracker, 2000",
        }


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def _flow(a: np.ndarray, b: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) positions in `b` of points `xy` of `a`, and whether each was found (N,)."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        a,
        b,
        xy.reshape(-1, 1, 2),
        None,  # type: ignore[call-overload]
        winSize=(WINDOW, WINDOW),
        maxLevel=LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
    )
    return there.reshape(-1, 2), found.reshape(-1).astype(bool)


def _there_and_back(a: np.ndarray, b: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) positions in `b`, and (N,) pixels by which the way back misses; inf where lost."""
    there = np.full_like(xy, np.nan)
    error = np.full(len(xy), np.inf, np.float32)
    known = np.flatnonzero(np.isfinite(xy).all(-1))
    if len(known):
        there[known], found = _flow(a, b, xy[known])
        back, returned = _flow(b, a, there[known])
        miss = np.linalg.norm(back - xy[known], axis=-1)
        error[known] = np.where(found & returned, miss, np.inf)
    return there, error
