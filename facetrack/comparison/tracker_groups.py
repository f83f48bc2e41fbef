"""Stage 2 of a comparison: track the points of several inits with one tracker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from facetrack.comparison.initialisers import CachedFaceDetector
from facetrack.detectors import LandmarkDetector
from facetrack.pipeline.chunking import clip_length
from facetrack.trackers import PointTracker, StepResult
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import supports_expressions, with_expressions
from facetrack.trackers.factory import create
from facetrack.trackers.per_frame import PerFrameTracker
from facetrack.trackers.windowing import OverlapBuffer
from facetrack.video.frame import Frame


class GroupStepper(Protocol):
    """Tracks G groups of N points.

    Attributes:
        window: see `PointTracker`.
        seconds: (G,) spent so far; the time of shared work is divided evenly.
    """

    window: tuple[int, int] | None
    seconds: np.ndarray

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """Start at points (G, N, 2) of a frame (H, W, 3) uint8 RGB; returns the state."""
        ...

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """Track through frames (K, H, W, 3); returns arrays (K, G, N, ...)."""
        ...


class SharedTrackers:
    """A tracker that supports groups itself and shares work between them."""

    def __init__(self, tracker: PointTracker, groups: int) -> None:
        self._tracker, self.window = tracker, tracker.window
        self.seconds = np.zeros(groups)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        return self._tracker.start(frame, points)

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        start_time = time.perf_counter()
        result = self._tracker.step(state, frames)
        self.seconds += (time.perf_counter() - start_time) / len(self.seconds)
        return result


class FlattenedTrackers(SharedTrackers):
    """A tracker with independent points: all groups are flattened to one list of points."""

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        return super().start(frame, points.reshape(-1, 2))

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        xy, visible, confidence = super().step(state, frames)
        shape = (len(xy), len(self.seconds), -1)
        return StepResult(xy.reshape(*shape, 2), visible.reshape(shape), confidence.reshape(shape))


class SeparateTrackers:
    """A separate tracker for each group. They share at most the detected faces."""

    def __init__(self, trackers: Sequence[PointTracker], faces: CachedFaceDetector) -> None:
        self._trackers, self.window, self._faces = trackers, trackers[0].window, faces
        self.seconds = np.zeros(len(trackers))

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """See `GroupStepper`."""
        pairs = zip(self._trackers, points, strict=True)
        return [tracker.start(frame, group_points) for tracker, group_points in pairs]

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """See `GroupStepper`."""
        results, before = [], self._faces.seconds
        for i, (tracker, group_state) in enumerate(zip(self._trackers, state, strict=True)):
            start_time = time.perf_counter() - self._faces.seconds
            results.append(tracker.step(group_state, frames))
            self.seconds[i] += time.perf_counter() - self._faces.seconds - start_time
        self.seconds += (self._faces.seconds - before) / len(self.seconds)
        return StepResult(*(np.stack(values, 1) for values in zip(*results, strict=True)))


class TrackerGroup:
    """Inits whose points the same tracker tracks together.

    Attributes:
        tracker: its name.
        inits: names of the inits, in the order of the groups.
        points: (G, N, 2) in the query frame.
        is_tracking: False for a detector on every frame, which does not track.
        described: description of the tracker of each init.
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
            tracker: name of the tracker.
            options: of the tracker.
            points: (N, 2) in the query frame by init, all of the same layout.
            detectors: of the inits, for trackers that detect.
            faces: the face detector, for trackers that detect.

        Raises:
            FacetrackError: the tracker's weights cannot be used.
        """
        start_time = time.perf_counter()
        self.tracker, self.inits = tracker, tuple(points)
        self.points = np.stack(list(points.values()))
        groups = len(self.inits)
        if tracker in _SHARED:
            first = create(tracker, options, lambda: (detectors[self.inits[0]], faces))
            if supports_expressions(tracker, options):
                first = with_expressions(first, detectors[self.inits[0]].scheme, options)
            self._stepper: GroupStepper = _SHARED[tracker](first, groups)
            trackers: list[PointTracker] = [first] * groups
        else:
            trackers = [
                create(tracker, options, lambda name=name: (detectors[name], faces))  # type: ignore[misc]
                for name in self.inits
            ]
            self._stepper = SeparateTrackers(trackers, faces)
        self.is_tracking = not isinstance(trackers[0], PerFrameTracker)
        self.described = dict(zip(self.inits, (t.describe() for t in trackers), strict=True))
        self.load_seconds = (time.perf_counter() - start_time) / groups

    @property
    def seconds(self) -> np.ndarray:
        """Seconds (G,) spent on steps so far."""
        return self._stepper.seconds.copy()

    def begin(self, frame: np.ndarray, points: np.ndarray | None = None) -> TrackingSession:
        """Start a session at points (G, N, 2) of a frame; None for the query points."""
        start = self.points if points is None else points
        return TrackingSession(self._stepper, self._stepper.start(frame, start))


_SHARED: dict[str, type[SharedTrackers]] = {"tapir": SharedTrackers, "lk": FlattenedTrackers}


class TrackingSession:
    """A pass through consecutive frames, fed chunk by chunk.

    Attributes:
        ready: number of frames whose results are known and not taken yet.
    """

    def __init__(self, stepper: GroupStepper, state: Any) -> None:
        self._stepper, self._state = stepper, state
        self._results: deque[StepResult] = deque()
        self._buffer: OverlapBuffer[np.ndarray] = OverlapBuffer()
        self.ready = 0

    def feed(self, frames: np.ndarray) -> None:
        """Feed the next frames (K, H, W, 3)."""
        if self._stepper.window is None:
            self._keep(self._stepper.step(self._state, frames))
            return
        length, overlap = self._stepper.window
        for frame in frames:
            self._buffer.append(frame)
            if len(self._buffer.items) == length:
                self._step(overlap)

    def finish(self) -> None:
        """Compute the results of all remaining frames."""
        self._step(overlap=0)

    def take(self, count: int) -> StepResult:
        """Take the results (count, G, N, ...) of the next frames; at most `ready` frames."""
        parts = []
        self.ready -= count
        while count:
            first = self._results.popleft()
            if len(first.xy) > count:
                self._results.appendleft(StepResult(*(values[count:] for values in first)))
                first = StepResult(*(values[:count] for values in first))
            parts.append(first)
            count -= len(first.xy)
        return StepResult(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _step(self, overlap: int) -> None:
        window = self._buffer.cut(overlap)
        if window is not None:
            result = self._stepper.step(self._state, np.stack(window.items))
            self._keep(StepResult(*(values[window.new] for values in result)))

    def _keep(self, result: StepResult) -> None:
        self._results.append(result)
        self.ready += len(result.xy)


def chunks(frames: Iterable[Frame]) -> Iterable[list[Frame]]:
    """Split frames into chunks of `clip_length` frames; the last chunk may be shorter."""
    chunk: list[Frame] = []
    number = 0
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == clip_length(number, frame):
            yield chunk
            chunk, number = [], number + 1
    if chunk:
        yield chunk
