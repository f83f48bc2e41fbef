"""A point tracker whose hidden landmarks follow the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facetrack.measures import face_model
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.head.rigid_head import RigidHead
from facetrack.weights import resolve


@dataclass
class HeadState:
    """State of a `HeadTracker`.

    Attributes:
        inner: the wrapped tracker's state.
        heads: one per group of points; empty if the points are not 68 known landmarks.
    """

    inner: Any
    heads: list[RigidHead]


class HeadTracker(PointTracker):
    """A tracker whose hidden landmarks are placed by a rigid head and what moves on it.

    Visible points and confidences stay as they are. Each group of points is one face. See
    `facetrack.trackers.base.PointTracker` for the interface.

    Args:
        tracker: a tracker of 68 landmarks, whose confidence is the probability of being visible.
    """

    def __init__(self, tracker: PointTracker) -> None:
        self.tracker = tracker
        self.name, self.window = tracker.name, tracker.window

    def take_warnings(self) -> list[str]:
        """Return the tracker's warnings since the last call."""
        return self.tracker.take_warnings()

    def start(self, frame: np.ndarray, points: np.ndarray) -> HeadState:
        """Start as `PointTracker.start`, with points (68, 2), or (G, 68, 2) for groups."""
        points = np.asarray(points, float)
        heads = []
        if points.shape[-2:] == (68, 2) and np.isfinite(points).all():
            size = (frame.shape[1], frame.shape[0])
            heads = [RigidHead(landmarks, size) for landmarks in points.reshape(-1, 68, 2)]
        return HeadState(self.tracker.start(frame, points), heads)

    def step(self, state: HeadState, frames: np.ndarray) -> StepResult:
        """Track the next frames, as `PointTracker.step`."""
        return _place_hidden(state, self.tracker.step(state.inner, frames))

    def step_many(self, states: Sequence[HeadState], frames: np.ndarray) -> list[StepResult]:
        """Step several faces, as `PointTracker.step_many`."""
        results = self.tracker.step_many([state.inner for state in states], frames)
        return [_place_hidden(state, result) for state, result in zip(states, results, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return the tracker's entries, and the 3-D face's under "head"."""
        head = {"name": face_model.PART, **resolve(face_model.PART, "auto").describe()}
        return {**self.tracker.describe(), "head": head}


def _place_hidden(state: HeadState, result: StepResult) -> StepResult:
    """Return the tracker's result with the hidden landmarks placed; unknown points stay unknown."""
    if not state.heads:
        return result
    shape = (len(result.xy), len(state.heads), 68)
    xy, confidence = result.xy.reshape(*shape, 2).copy(), result.confidence.reshape(shape)
    for k in range(len(xy)):
        for g, head in enumerate(state.heads):
            if np.isfinite(xy[k, g]).all():
                xy[k, g] = head.place_hidden(xy[k, g], confidence[k, g])
    return result._replace(xy=xy.reshape(result.xy.shape))
