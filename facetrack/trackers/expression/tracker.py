"""A point tracker with a small landmark network beside it that sees expressions: `expression`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facetrack.detectors import DetectorOptions, LandmarkDetector
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.corrector import ExpressionCorrector, PendingCorrection

if TYPE_CHECKING:
    from facetrack.trackers.base import TrackerOptions

WEIGHTS = "star-s"
BOXES = ((0.0, 0.0, 1.0), (0.03, 0.02, 0.95), (-0.03, -0.02, 1.05))
"""Crops of the query frame that the network looks at: shifts and size of the face's box."""


class NetworkQuery(NamedTuple):
    """Attributes:
    picture: (H, W, 3) uint8 RGB, a frame.
    box: (1, 4) of the face there.
    doubts: about it, and whose they are.
    """

    picture: np.ndarray
    box: np.ndarray
    doubts: list[tuple[ExpressionCorrector, PendingCorrection]]


@dataclass
class State:
    """Attributes:
    inner: the tracker's.
    expressions: what is corrected, a group; None where the network does not see the face that was
        placed. Empty for points that are not 68 landmarks.
    """

    inner: Any
    expressions: list[ExpressionCorrector | None]

    def questions(self, result: StepResult, frames: np.ndarray) -> Iterator[NetworkQuery]:
        """What the network is to be asked of frames (K, H, W, 3) in which the tracker says
        `result`."""
        if not any(self.expressions):
            return
        groups = result.xy.reshape(len(frames), -1, 68, 2)
        visible = result.visible.reshape(groups.shape[:-1])
        doubts: dict[int, list[tuple[ExpressionCorrector, PendingCorrection]]] = {}
        for g, one in enumerate(self.expressions):
            if one is not None:
                for k, doubt in one.doubts(frames, groups[:, g], visible[:, g]).items():
                    doubts.setdefault(k, []).append((one, doubt))
        for k, some in doubts.items():
            yield NetworkQuery(frames[k], _box(np.median(groups[k], 0))[None], some)

    def corrected(self, result: StepResult) -> StepResult:
        """What the tracker says, by all that the network has answered."""
        if not any(self.expressions):
            return result
        groups = result.xy.reshape(len(result.xy), -1, 68, 2).copy()
        for g, one in enumerate(self.expressions):
            if one is not None:
                groups[:, g] = one.correct(groups[:, g])
        return result._replace(xy=groups.reshape(result.xy.shape))


def suits(tracker: str, options: TrackerOptions) -> bool:
    """Whether the tracker of that name is to have a network beside it. Lucas-Kanade and a detector
    on every frame are there to be compared with, and stay what they are; so does a TAPIR network
    that is asked for as it is."""
    return tracker == "tapir" and options.steady


def guided(tracker: PointTracker, scheme: str, options: TrackerOptions) -> PointTracker:
    """The tracker with the landmark network that comes with facetrack beside it; the tracker alone
    where its points are not the 68 of 300-W, or it looks both ways."""
    if scheme != "68" or tracker.window is not None:
        return tracker
    from facetrack.detectors.star import Star

    chosen = DetectorOptions(weights=WEIGHTS, device=options.device, precision=options.precision)
    network = Star(chosen)
    network.num_views = 1  # the tracker's points say where the face is
    return ExpressionTracker(tracker, network)


class ExpressionTracker(PointTracker):
    """A tracker with a landmark network beside it (see `facetrack.trackers.base.PointTracker`).

    Of groups of points, which are of one face, each is corrected by itself; the network looks once
    for all. Frames that are given together see the looks at the later ones of them, too.

    Args:
        tracker: a causal one.
        network: places 68 landmarks.
    """

    def __init__(self, tracker: PointTracker, network: LandmarkDetector) -> None:
        self.tracker, self.network = tracker, network
        self.name = tracker.name

    def take_warnings(self) -> list[str]:
        """The tracker's."""
        return self.tracker.take_warnings()

    def start(self, frame: np.ndarray, points: np.ndarray) -> State:
        """As `PointTracker.start`; points (68, 2), or (G, 68, 2) for groups."""
        points = np.asarray(points, float)
        state = State(self.tracker.start(frame, points), [])
        if points.shape[-2:] == (68, 2) and np.isfinite(points).all():
            groups = points.reshape(-1, 68, 2)
            box = _box(np.median(groups, 0))
            side = box[2] - box[0]
            boxes = [_moved(box, dx * side, dy * side, scale) for dx, dy, scale in BOXES]
            looks = self.network.detect(frame, np.array(boxes)).xy
            made = [ExpressionCorrector(frame, placed, looks) for placed in groups]
            state.expressions = [one if one.usable else None for one in made]
        return state

    def step(self, state: State, frames: np.ndarray) -> StepResult:
        """As `PointTracker.step`."""
        return self._corrected([state], [self.tracker.step(state.inner, frames)], frames)[0]

    def step_many(self, states: Sequence[State], frames: np.ndarray) -> list[StepResult]:
        """As `step`, for several faces; the network looks at all of them at once."""
        results = self.tracker.step_many([state.inner for state in states], frames)
        return self._corrected(states, results, frames)

    def _corrected(
        self, states: Sequence[State], results: Sequence[StepResult], frames: np.ndarray
    ) -> list[StepResult]:
        """What the tracker says of each state, as the network would have it."""
        both = list(zip(states, results, strict=True))
        asked = [question for state, result in both for question in state.questions(result, frames)]
        if asked:
            pictures, boxes, doubted = zip(*asked, strict=True)
            answers = self.network.detect_many(pictures, boxes)
            for doubts, answer in zip(doubted, answers, strict=True):
                for one, doubt in doubts:
                    one.look(doubt, answer.xy[0])
        return [state.corrected(result) for state, result in both]

    def describe(self) -> dict[str, Any]:
        """The tracker's, and the network's under "expressions"."""
        return {**self.tracker.describe(), "expressions": self.network.describe()}


def _box(points: np.ndarray) -> np.ndarray:
    """(4,) where a face detector would have a face with landmarks (68, 2)."""
    from facetrack.detectors.crops import hog_box  # imports PyTorch

    return hog_box(np.asarray(points, float))


def _moved(box: np.ndarray, right: float, down: float, scale: float) -> np.ndarray:
    middle, half = (box[:2] + box[2:]) / 2 + (right, down), (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([middle - half, middle + half])
