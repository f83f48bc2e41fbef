"""A point tracker with small networks beside it that see lids and lips: `expressions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facetrack.ops.similarity import as_complex
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.face_parts import Pose, cut

if TYPE_CHECKING:
    from facetrack.trackers.base import TrackerOptions
    from facetrack.trackers.expression.corrector import ExpressionNetwork, Expressions, Look

SEEN = 0.5
"""Confidence above which a point counts as seen."""


class NetworkQuery(NamedTuple):
    """Attributes:
    face: whose parts are to be looked at, as its state has it.
    group, frame: of the step's points.
    pose: of the face there.
    patches: of its parts.
    """

    face: Expressions
    group: int
    frame: int
    pose: Pose
    patches: list[np.ndarray]


@dataclass
class State:
    """Attributes:
    inner: the tracker's.
    expressions: what is corrected, a group; None where the network does not see the face that was
        placed. Empty for points that are not 68 landmarks.
    """

    inner: Any
    expressions: list[Expressions | None]

    def questions(self, result: StepResult, frames: np.ndarray) -> list[NetworkQuery]:
        """The patches of frames (K, H, W, 3) in which the tracker says `result`."""
        made: list[NetworkQuery] = []
        if not any(self.expressions):
            return made
        groups = result.xy.reshape(len(frames), -1, 68, 2)
        for g, face in enumerate(self.expressions):
            if face is None:
                continue
            for k, frame in enumerate(frames):
                if np.isfinite(groups[k, g]).all():
                    pose = face.rest.pose(as_complex(groups[k, g]))
                    made.append(NetworkQuery(face, g, k, pose, cut(frame, pose)))
        return made

    def corrected(
        self,
        network: ExpressionNetwork,
        result: StepResult,
        questions: Sequence[NetworkQuery],
        looks: Sequence[Sequence[Look]],
        frames: np.ndarray,
    ) -> StepResult:
        """What the tracker says, as the network would have it."""
        if not questions:
            return result
        shape = (len(frames), -1, 68)
        xy = result.xy.reshape(*shape, 2).copy()
        confidence = result.confidence.reshape(shape).copy()
        visible = result.visible.reshape(shape).copy()
        for (face, g, k, pose, _), look in zip(questions, looks, strict=True):
            changed = face.correct(network, xy[k, g], confidence[k, g], pose, look)
            inside = (xy[k, g] >= -0.5) & (xy[k, g] <= np.array(frames.shape[2:0:-1]) - 0.5)
            seen = (confidence[k, g] > SEEN) & inside.all(-1)
            visible[k, g, changed] = seen[changed]
        return StepResult(
            xy.reshape(result.xy.shape),
            visible.reshape(result.visible.shape),
            confidence.reshape(result.confidence.shape),
        )


def suits(tracker: str, options: TrackerOptions) -> bool:
    """Whether the tracker of that name is to have networks beside it. Lucas-Kanade and a detector
    on every frame are there to be compared with, and stay what they are; so does a TAPIR network
    that is asked for as it is."""
    return tracker == "tapir" and options.steady


def guided(tracker: PointTracker, scheme: str, options: TrackerOptions) -> PointTracker:
    """The tracker with the networks that come with facetrack beside it; the tracker alone where its
    points are not the 68 of 300-W, or it looks both ways."""
    if scheme != "68" or tracker.window is not None:
        return tracker
    from facetrack.trackers.expression.corrector import ExpressionNetwork

    return ExpressionTracker(
        tracker, ExpressionNetwork(device=options.device, precision=options.precision)
    )


class ExpressionTracker(PointTracker):
    """A tracker with networks beside it that see lids and lips on every frame (see
    `facetrack.trackers.base.PointTracker`).

    Of groups of points, which are of one face, each is corrected by itself.

    Args:
        tracker: a causal one.
        network: sees the parts of faces.
    """

    def __init__(self, tracker: PointTracker, network: ExpressionNetwork) -> None:
        self.tracker, self.network = tracker, network
        self.name = tracker.name

    def take_warnings(self) -> list[str]:
        """Return the tracker's warnings since the last call."""
        return self.tracker.take_warnings()

    def start(self, frame: np.ndarray, points: np.ndarray) -> State:
        """As `PointTracker.start`; points (68, 2), or (G, 68, 2) for groups."""
        points = np.asarray(points, float)
        state = State(self.tracker.start(frame, points), [])
        if points.shape[-2:] == (68, 2) and np.isfinite(points).all():
            from facetrack.trackers.expression.corrector import Expressions

            for placed in points.reshape(-1, 68, 2):
                looks = self.network.look([cut(frame, pose) for pose in Expressions.poses(placed)])
                face = Expressions(placed, looks)
                state.expressions.append(face if face.usable else None)
        return state

    def step(self, state: State, frames: np.ndarray) -> StepResult:
        """As `PointTracker.step`."""
        return self.correct([state], [self.tracker.step(state.inner, frames)], frames)[0]

    def step_many(self, states: Sequence[State], frames: np.ndarray) -> list[StepResult]:
        """As `step`, for several faces; the network looks at all of them at once."""
        results = self.tracker.step_many([state.inner for state in states], frames)
        return self.correct(states, results, frames)

    def correct(
        self, states: Sequence[State], results: Sequence[StepResult], frames: np.ndarray
    ) -> list[StepResult]:
        """What the tracker says of each state, as the network would have it."""
        asked = [
            state.questions(result, frames) for state, result in zip(states, results, strict=True)
        ]
        looks = iter(self.network.look([one.patches for some in asked for one in some]))
        return [
            state.corrected(self.network, result, some, [next(looks) for _ in some], frames)
            for state, result, some in zip(states, results, asked, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """The tracker's, and the network's under "expressions"."""
        return {**self.tracker.describe(), "expressions": self.network.describe()}
