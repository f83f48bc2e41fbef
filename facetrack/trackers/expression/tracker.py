"""A point tracker whose eyes and mouth are corrected by small networks on every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facetrack.landmarks.geometry import inside_picture
from facetrack.ops.similarity import as_complex
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.face_parts import FacePose, crop_patches

if TYPE_CHECKING:
    from facetrack.trackers.base import TrackerOptions
    from facetrack.trackers.expression.corrector import (
        ExpressionCorrector,
        ExpressionNetwork,
        PartLandmarks,
    )

MIN_VISIBLE_CONFIDENCE = 0.5
"""Confidence above which a corrected point counts as visible."""


class NetworkQuery(NamedTuple):
    """The patches of one face in one frame.

    Attributes:
        corrector: corrects the face.
        group: index of the face's group of points.
        frame: index of the frame within the step.
        pose: the pose of the face in the frame.
        patches: one patch (height, width, 3) per part.
    """

    corrector: ExpressionCorrector
    group: int
    frame: int
    pose: FacePose
    patches: list[np.ndarray]


@dataclass
class ExpressionState:
    """State of an `ExpressionTracker`.

    Attributes:
        inner: the wrapped tracker's state.
        correctors: one per group of points; None where the network did not confirm the initial
            points. Empty if the points are not 68 landmarks.
    """

    inner: Any
    correctors: list[ExpressionCorrector | None]

    def collect_queries(self, result: StepResult, frames: np.ndarray) -> list[NetworkQuery]:
        """Crop the patches of all tracked faces from frames (K, H, W, 3).

        Frames in which a face has points without coordinates are left out.
        """
        queries: list[NetworkQuery] = []
        if not any(self.correctors):
            return queries
        groups = result.xy.reshape(len(frames), -1, 68, 2)
        for g, corrector in enumerate(self.correctors):
            if corrector is None:
                continue
            for k, frame in enumerate(frames):
                if np.isfinite(groups[k, g]).all():
                    pose = corrector.query.estimate_pose(as_complex(groups[k, g]))
                    queries.append(NetworkQuery(corrector, g, k, pose, crop_patches(frame, pose)))
        return queries

    def apply_corrections(
        self,
        network: ExpressionNetwork,
        result: StepResult,
        queries: Sequence[NetworkQuery],
        detections: Sequence[Sequence[PartLandmarks]],
        frames: np.ndarray,
    ) -> StepResult:
        """Return the tracker's result with the parts corrected.

        Args:
            network: provides the filters.
            result: the wrapped tracker's result.
            queries: from `collect_queries`.
            detections: the network's detections for each query.
            frames: (K, H, W, 3).
        """
        if not queries:
            return result
        shape = (len(frames), -1, 68)
        xy = result.xy.reshape(*shape, 2).copy()
        confidence = result.confidence.reshape(shape).copy()
        visible = result.visible.reshape(shape).copy()
        for (corrector, g, k, pose, _), detected in zip(queries, detections, strict=True):
            changed = corrector.correct(network, xy[k, g], confidence[k, g], pose, detected)
            inside = inside_picture(xy[k, g], frames[k])
            now_visible = (confidence[k, g] > MIN_VISIBLE_CONFIDENCE) & inside
            visible[k, g, changed] = now_visible[changed]
        return StepResult(
            xy.reshape(result.xy.shape),
            visible.reshape(result.visible.shape),
            confidence.reshape(result.confidence.shape),
        )


def supports_expressions(tracker: str, options: TrackerOptions) -> bool:
    """Return True if the tracker of this name may be wrapped in an `ExpressionTracker`.

    Lucas-Kanade and detection on every frame serve as baselines and stay uncorrected. So does a
    TAPIR network without smoothing (`--raw`).
    """
    return tracker == "tapir" and options.steady


def with_expressions(tracker: PointTracker, scheme: str, options: TrackerOptions) -> PointTracker:
    """Wrap a tracker with the head and the networks that come with facetrack.

    The head places hidden points first: the networks look where the points are. The tracker is
    returned unchanged if its points are not the 68 of 300-W, or if it is not causal.
    """
    if scheme != "68" or tracker.window is not None:
        return tracker
    from facetrack.trackers.expression.corrector import ExpressionNetwork
    from facetrack.trackers.head.tracker import HeadTracker

    network = ExpressionNetwork(device=options.device, precision=options.precision)
    return ExpressionTracker(HeadTracker(tracker), network)


class ExpressionTracker(PointTracker):
    """A tracker with networks that correct eyes and mouths on every frame.

    Each group of points is one face and is corrected independently. See
    `facetrack.trackers.base.PointTracker` for the interface.

    Args:
        tracker: a causal tracker.
        network: detects the landmarks of face parts.
    """

    def __init__(self, tracker: PointTracker, network: ExpressionNetwork) -> None:
        self.tracker, self.network = tracker, network
        self.name = tracker.name

    def take_warnings(self) -> list[str]:
        """Return the tracker's warnings since the last call."""
        return self.tracker.take_warnings()

    def start(self, frame: np.ndarray, points: np.ndarray) -> ExpressionState:
        """Start as `PointTracker.start`, with points (68, 2), or (G, 68, 2) for groups."""
        points = np.asarray(points, float)
        state = ExpressionState(self.tracker.start(frame, points), [])
        if points.shape[-2:] == (68, 2) and np.isfinite(points).all():
            from facetrack.trackers.expression.corrector import ExpressionCorrector

            for landmarks in points.reshape(-1, 68, 2):
                poses = ExpressionCorrector.query_poses(landmarks)
                detections = self.network.detect([crop_patches(frame, pose) for pose in poses])
                corrector = ExpressionCorrector(landmarks, detections)
                state.correctors.append(corrector if corrector.usable else None)
        return state

    def step(self, state: ExpressionState, frames: np.ndarray) -> StepResult:
        """Track and correct the next frames, as `PointTracker.step`."""
        return self.correct([state], [self.tracker.step(state.inner, frames)], frames)[0]

    def step_many(self, states: Sequence[ExpressionState], frames: np.ndarray) -> list[StepResult]:
        """Step several faces; the network sees the patches of all of them in one batch."""
        results = self.tracker.step_many([state.inner for state in states], frames)
        return self.correct(states, results, frames)

    def correct(
        self, states: Sequence[ExpressionState], results: Sequence[StepResult], frames: np.ndarray
    ) -> list[StepResult]:
        """Return the tracker's results with the parts corrected, one for each state."""
        queries = [
            state.collect_queries(result, frames)
            for state, result in zip(states, results, strict=True)
        ]
        detections = iter(
            self.network.detect([query.patches for group in queries for query in group])
        )
        return [
            state.apply_corrections(
                self.network, result, group, [next(detections) for _ in group], frames
            )
            for state, result, group in zip(states, results, queries, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """Return the tracker's entries, and the network's under "expressions"."""
        return {**self.tracker.describe(), "expressions": self.network.describe()}
