"""Stage 2 of a comparison: one tracker carries the points of several inits at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from facetrack.comparison.initialisers import CachedFaceDetector
from facetrack.detectors import LandmarkDetector
from facetrack.pipeline.chunking import length_of
from facetrack.trackers import PointTracker, StepResult
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import guided, suits
from facetrack.trackers.factory import create
from facetrack.trackers.per_frame import PerFrameTracker
from facetrack.video.frame import Frame


class GroupStepper(Protocol):
    """Carries G groups of N points through frames.

    Attributes:
        window: as of `PointTracker`.
        seconds: (G,) spent so far, shared out evenly where work is shared.
    """

    window: tuple[int, int] | None
    seconds: np.ndarray

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """Remember points (G, N, 2) of a frame (H, W, 3) uint8 RGB."""
        ...

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """Find them in frames (K, H, W, 3): arrays (K, G, N, ...)."""
        ...


class SharedTrackers:
    """A tracker that takes groups itself, and shares work between them."""

    def __init__(self, tracker: PointTracker, groups: int) -> None:
        self._tracker, self.window = tracker, tracker.window
        self.seconds = np.zeros(groups)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        return self._tracker.start(frame, points)

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        began = time.perf_counter()
        result = self._tracker.step(state, frames)
        self.seconds += (time.perf_counter() - began) / len(self.seconds)
        return result


class FlattenedTrackers(SharedTrackers):
    """A tracker whose points do not know of each other: all groups are one long row of points."""

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        return super().start(frame, points.reshape(-1, 2))

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        xy, visible, confidence = super().step(state, frames)
        shape = (len(xy), len(self.seconds), -1)
        return StepResult(xy.reshape(*shape, 2), visible.reshape(shape), confidence.reshape(shape))


class SeparateTrackers:
    """A tracker of its own for each group; at most, they share the faces that are found."""

    def __init__(self, trackers: Sequence[PointTracker], faces: CachedFaceDetector) -> None:
        self._trackers, self.window, self._faces = trackers, trackers[0].window, faces
        self.seconds = np.zeros(len(trackers))

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        return [t.start(frame, some) for t, some in zip(self._trackers, points, strict=True)]

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        results, before = [], self._faces.seconds
        for i, (tracker, own) in enumerate(zip(self._trackers, state, strict=True)):
            began = time.perf_counter() - self._faces.seconds
            results.append(tracker.step(own, frames))
            self.seconds[i] += time.perf_counter() - self._faces.seconds - began
        self.seconds += (self._faces.seconds - before) / len(self.seconds)
        return StepResult(*(np.stack(kind, 1) for kind in zip(*results, strict=True)))


class TrackerGroup:
    """The inits that one tracker carries together.

    Attributes:
        tracker: its name.
        inits: whose points are carried, in the order of the groups.
        points: (G, N, 2) in the query frame.
        carries: whether it tracks at all; False for a detector on every frame.
        described: what the tracker of each init says of itself.
    """

    def __init__(
        self,
        tracker: str,
        options: TrackerOptions,
        points: Mapping[str, np.ndarray],
        detectors: Mapping[str, LandmarkDetector],
        faces: CachedFaceDetector,
    ) -> None:
        """
        Args:
            points: (N, 2) in the query frame by init; all of one layout.
            detectors: of the inits, for trackers that detect.

        Raises:
            FacetrackError: the tracker's weights cannot be used.
        """
        began = time.perf_counter()
        self.tracker, self.inits = tracker, tuple(points)
        self.points = np.stack(list(points.values()))
        groups = len(self.inits)
        if tracker in _TOGETHER:
            first = create(tracker, options, lambda: (detectors[self.inits[0]], faces))
            if suits(tracker, options):
                first = guided(first, detectors[self.inits[0]].scheme, options)
            self._carrier: GroupStepper = _TOGETHER[tracker](first, groups)
            made: list[PointTracker] = [first] * groups
        else:
            made = [
                create(tracker, options, lambda name=name: (detectors[name], faces))  # type: ignore[misc]
                for name in self.inits
            ]
            self._carrier = SeparateTrackers(made, faces)
        self.carries = not isinstance(made[0], PerFrameTracker)
        self.described = dict(zip(self.inits, (t.describe() for t in made), strict=True))
        self.load_seconds = (time.perf_counter() - began) / groups

    @property
    def seconds(self) -> np.ndarray:
        """(G,) spent on steps so far."""
        return self._carrier.seconds.copy()

    def begin(self, frame: np.ndarray, points: np.ndarray | None = None) -> TrackingSession:
        """Set out from (G, N, 2) points of a frame; None: the query points."""
        start = self.points if points is None else points
        return TrackingSession(self._carrier, self._carrier.start(frame, start))

    def through(
        self, frame: np.ndarray, frames: Iterable[Frame], points: np.ndarray | None = None
    ) -> StepResult:
        """Set out and pass through all `frames`, of which only a stretch is in memory."""
        passage = self.begin(frame, points)
        for chunk in chunks(frames):
            passage.feed(np.stack([f.image for f in chunk]))
        passage.finish()
        return passage.take(passage.ready)


_TOGETHER: dict[str, type[SharedTrackers]] = {"tapir": SharedTrackers, "lk": FlattenedTrackers}


class TrackingSession:
    """One way through consecutive frames, fed stretch by stretch.

    Attributes:
        ready: frames whose points are known and not taken yet.
    """

    def __init__(self, carrier: GroupStepper, state: Any) -> None:
        self._carrier, self._state = carrier, state
        self._found: deque[StepResult] = deque()
        self._waiting: list[np.ndarray] = []
        self._done = 0  # of those that wait: answered already
        self.ready = 0

    def feed(self, frames: np.ndarray) -> None:
        """The next frames (K, H, W, 3)."""
        if self._carrier.window is None:
            self._keep(self._carrier.step(self._state, frames))
            return
        length, overlap = self._carrier.window
        for frame in frames:
            self._waiting.append(frame)
            if len(self._waiting) == length:
                # What is near the end is left to the next stretch, which sees what follows.
                self._answer(length - overlap // 2)
                self._waiting = self._waiting[length - overlap :]
                self._done = overlap - overlap // 2

    def finish(self) -> None:
        """There are no more frames."""
        if len(self._waiting) > self._done:
            self._answer(len(self._waiting))
        self._waiting = []

    def take(self, count: int) -> StepResult:
        """Arrays (count, G, N, ...) of the next frames, no more than are ready."""
        parts = []
        self.ready -= count
        while count:
            first = self._found.popleft()
            if len(first.xy) > count:
                self._found.appendleft(StepResult(*(kind[count:] for kind in first)))
                first = StepResult(*(kind[:count] for kind in first))
            parts.append(first)
            count -= len(first.xy)
        return StepResult(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))

    def _answer(self, upto: int) -> None:
        result = self._carrier.step(self._state, np.stack(self._waiting))
        self._keep(StepResult(*(kind[self._done : upto] for kind in result)))

    def _keep(self, result: StepResult) -> None:
        self._found.append(result)
        self.ready += len(result.xy)


def chunks(frames: Iterable[Frame]) -> Iterable[list[Frame]]:
    """Frames in lists as long as `length_of` has it, the last one shorter."""
    chunk: list[Frame] = []
    number = 0
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == length_of(number, frame):
            yield chunk
            chunk, number = [], number + 1
    if chunk:
        yield chunk
