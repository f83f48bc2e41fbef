"""Stage 2 of a comparison: run all methods in shared passes through the video."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from facetrack.callbacks import Progress
from facetrack.comparison import measures
from facetrack.comparison.initialisers import InitialPoints, QueryStage
from facetrack.comparison.tracker_groups import TrackerGroup, TrackingSession, chunks
from facetrack.landmarks import schemes
from facetrack.multiface.face_track import PresenceFilter
from facetrack.orientation.search import find_turned, quarter_of
from facetrack.pipeline.query_frame import Query
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoReader, read_reversed, time_decoding

Sink = Callable[[list[Frame], dict[str, Tracks]], None]
"""Called with consecutive frames, and the tracks over them by label."""


@dataclass
class Method:
    """A combination of an init and a tracker, while it runs.

    Attributes:
        init, tracker: names as on the command line.
        placed: the init's points in the query frame.
        tracker_group: tracks the points; None if the init has failed.
        group: index of the points in the tracker group.
        presence: decides when the face is present.
        parts: the tracks so far.
        cycle: the cycle error in per cent.
        seconds: by stage.
    """

    init: str
    tracker: str
    placed: InitialPoints
    tracker_group: TrackerGroup | None = None
    group: int = 0
    presence: PresenceFilter = field(default_factory=PresenceFilter)
    parts: list[Tracks] = field(default_factory=list)
    cycle: float = np.nan
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the method in tables."""
        return f"{self.init} + {self.tracker}"

    def result(self, group_results: dict[TrackerGroup, StepResult], frames: int) -> StepResult:
        """Select this method's points (K, N, ...) from the results of all tracker groups.

        Args:
            group_results: of the tracker groups.
            frames: number of frames K; for a failed init all K frames are unknown.
        """
        if self.tracker_group is None:
            shape = (frames, len(self.placed.xy))
            nowhere = np.full((*shape, 2), np.nan, np.float32)
            return StepResult(nowhere, np.zeros(shape, bool), np.zeros(shape, np.float32))
        return StepResult(*(kind[:, self.group] for kind in group_results[self.tracker_group]))


class DriftChecks:
    """Periodic detections by each init's own detector, to measure drift.

    Attributes:
        found: (N, 2) points by init and frame.
        failed: number of checks by init that found nothing although a face was tracked.
        seconds, face_seconds: spent on landmarks, by init, and on face detection.
    """

    def __init__(self, every: float, stage: QueryStage, inits: Iterable[str]) -> None:
        self._every, self._stage, self._due = every, stage, -np.inf
        self.found: dict[str, dict[int, np.ndarray]] = {init: {} for init in inits}
        self.failed = dict.fromkeys(self.found, 0)
        self.seconds = dict.fromkeys(self.found, 0.0)
        self.face_seconds = 0.0
        self._quarters = stage.quarters

    def check(self, frame: Frame, xy: np.ndarray) -> None:
        """Run the detectors if a check is due.

        Args:
            frame: the frame.
            xy: (M, 2) points of all methods, which identify the face.
        """
        known = xy[np.isfinite(xy).all(-1)]
        if frame.problem is not None:
            return
        # If no face is tracked, none can be missed.
        if not self._every or frame.time < self._due or not len(known):
            return
        self._due = frame.time + self._every - 1e-6
        start_time = time.perf_counter()
        faces = self._stage.fast_face_detector
        if self._quarters:
            boxes = find_turned(faces, frame.image, (self._quarters,))
        else:
            boxes = faces.detect(frame.image).boxes
        self.face_seconds += time.perf_counter() - start_time
        box = _around(boxes, known)
        for init, found in self.found.items():
            start_time = time.perf_counter()
            points = None
            if box is not None:
                points = self._stage.detectors[init].detect(frame.image, box[None]).xy[0]
            self.seconds[init] += time.perf_counter() - start_time
            if points is None or not np.isfinite(points).all():
                self.failed[init] += 1
            else:
                found[frame.index] = points
                self._quarters = quarter_of(points, self._stage.detectors[init].scheme)


def _around(boxes: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Return the box whose centre is nearest to the centre of points (M, 2).

    It is None if no box's centre is closer than the points' extent.
    """
    if not len(boxes):
        return None
    distance = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - np.median(points, 0), axis=1)
    nearest = int(distance.argmin())
    return boxes[nearest] if distance[nearest] <= np.ptp(points, 0).max() else None


class ComparisonPasses:
    """Runs all methods in shared passes through the video.

    Attributes:
        warnings: sentences about lost frames.
        seconds: spent reading the video and in the sink.
    """

    def __init__(
        self,
        stage: QueryStage,
        query: Query,
        methods: list[Method],
        checks: DriftChecks,
        sink: Sink,
        progress: Progress,
    ) -> None:
        self._stage, self._query, self._methods = stage, query, methods
        self._checks, self._sink, self._progress = checks, sink, progress
        # A dict keeps the order and removes duplicates.
        self._tracker_groups = list(
            dict.fromkeys(m.tracker_group for m in methods if m.tracker_group is not None)
        )
        self._image, self._first = query.frame.image, query.frame.index
        self._num_stepped, self._extra_frames = 0, 0
        self.warnings: list[str] = []
        self.seconds = {"decode": 0.0, "draw": 0.0}

    def run(self, cycle_frames: int) -> None:
        """Fill in every method's tracks, cycle error and seconds."""
        # Frames before the query frame are stepped over only backwards, the query frame both ways.
        self._extra_frames = (cycle_frames + 1 if cycle_frames else 0) + (1 if self._first else 0)
        known = self._timed("backwards", self._backwards)
        self._timed("track", lambda: self._forwards(known))
        self._timed("cycle", lambda: self._cycle(cycle_frames))

    def _timed(self, stage: str, function: Callable[[], GroupResults]) -> GroupResults:
        """Run a pass and add each method's share of its time to `seconds`."""
        before = {tracker_group: tracker_group.seconds for tracker_group in self._tracker_groups}
        result = function()
        for method in self._methods:
            if method.tracker_group is not None:
                spent = method.tracker_group.seconds - before[method.tracker_group]
                method.seconds[stage] = float(spent[method.group])
        return result

    # ---------------------------------------------------------------- passes

    def _backwards(self) -> GroupResults:
        """Track the frames before the query frame backwards; returns their results in order."""
        if not self._first:
            return {}
        sessions = {
            tracker_group: tracker_group.begin(self._image)
            for tracker_group in self._tracker_groups
        }
        self._run_sessions(sessions, self._reversed(self._first))
        return {
            tracker_group: StepResult(*(kind[::-1][:-1] for kind in session.take(session.ready)))
            for tracker_group, session in sessions.items()
        }

    def _forwards(self, known: GroupResults) -> GroupResults:
        """Track all frames forwards; `known` has the results for those before the query frame."""
        with VideoReader(self._stage.video, info=self._stage.info) as reader:
            frames = time_decoding(reader, self.seconds)
            num_done = 0
            for chunk in chunks(itertools.islice(frames, self._first)):
                span = slice(num_done, num_done + len(chunk))
                part = {
                    tracker_group: StepResult(*(k[span] for k in a))
                    for tracker_group, a in known.items()
                }
                self._handle_chunk(chunk, part)
                num_done += len(chunk)
            sessions = {
                tracker_group: tracker_group.begin(self._image)
                for tracker_group in self._tracker_groups
            }
            self._run_sessions(sessions, frames, self._drain)
            self.warnings += reader.warnings
        return {}

    def _cycle(self, max_frames: int) -> GroupResults:
        """Track points back to the query frame from some frames after it, for the cycle error."""
        count = sum(map(len, self._methods[0].parts))
        end = min(self._first + max_frames, count - 1)
        tracker_groups = [
            tracker_group for tracker_group in self._tracker_groups if tracker_group.is_tracking
        ]
        if end <= self._first or not tracker_groups:
            return {}
        frames = itertools.islice(self._reversed(end), end - self._first + 1)
        start = next(frames)
        forward_results = {m.label: frame_result(m.parts, end) for m in self._methods}
        sessions = {}
        for tracker_group in tracker_groups:
            points = tracker_group.points.copy()
            for method in self._methods_of(tracker_group):
                xy = forward_results[method.label].xy[0, 0]
                # Lost points start anywhere and do not count below.
                known = np.isfinite(xy).all(-1)
                points[method.group, known] = xy[known]
            sessions[tracker_group] = tracker_group.begin(start.image, points)
        self._run_sessions(sessions, itertools.chain([start], frames))
        for tracker_group, session in sessions.items():
            back = session.take(session.ready).xy[-1]
            for method in self._methods_of(tracker_group):
                seen = forward_results[method.label].visible[0, 0, :, None]
                ended = np.where(seen, back[method.group], np.nan)
                scheme = schemes.get(method.placed.scheme)
                method.cycle = measures.cycle(method.placed.xy, ended, scheme)
        return {}

    def _reversed(self, last: int) -> Iterator[Frame]:
        return read_reversed(self._stage.video, last, info=self._stage.info)

    def _methods_of(self, tracker_group: TrackerGroup) -> list[Method]:
        return [method for method in self._methods if method.tracker_group is tracker_group]

    # ---------------------------------------------------------------- frames

    def _run_sessions(
        self,
        sessions: dict[TrackerGroup, TrackingSession],
        frames: Iterable[Frame],
        drain: Callable[[list[Frame], dict[TrackerGroup, TrackingSession]], list[Frame]]
        | None = None,
    ) -> None:
        """Run all sessions through the frames.

        Args:
            sessions: by tracker group.
            frames: the frames.
            drain: called with the frames that it has not handled yet; returns the rest of them.
        """
        waiting: list[Frame] = []
        for chunk in chunks(frames):
            stack = np.stack([frame.image for frame in chunk])
            for session in sessions.values():
                session.feed(stack)
            if drain is not None:
                waiting = drain(waiting + chunk, sessions)
            self._advance(len(chunk))
        for session in sessions.values():
            session.finish()
        if drain is not None:
            drain(waiting, sessions)

    def _drain(
        self, waiting: list[Frame], sessions: dict[TrackerGroup, TrackingSession]
    ) -> list[Frame]:
        """Handle the frames for which all sessions have results; returns the other frames."""
        ready = min(session.ready for session in sessions.values())
        if ready:
            group_results = {
                tracker_group: session.take(ready) for tracker_group, session in sessions.items()
            }
            self._handle_chunk(waiting[:ready], group_results)
        return waiting[ready:]

    def _handle_chunk(self, frames: list[Frame], group_results: GroupResults) -> None:
        tracks_by_label: dict[str, Tracks] = {}
        for method in self._methods:
            result, scheme = method.result(group_results, len(frames)), method.placed.scheme
            tracks = self._stage.tracks(frames, result, method.presence, scheme)
            method.parts.append(tracks)
            tracks_by_label[method.label] = tracks
        for i, frame in enumerate(frames):
            self._checks.check(
                frame, np.concatenate([t.xy[i, 0] for t in tracks_by_label.values()])
            )
        start_time = time.perf_counter()
        self._sink(frames, tracks_by_label)
        self.seconds["draw"] += time.perf_counter() - start_time

    def _advance(self, count: int) -> None:
        self._num_stepped += count
        total = self._stage.reader.total
        self._progress(self._num_stepped, None if total is None else total + self._extra_frames)


GroupResults = dict[TrackerGroup, StepResult]
"""Results (K, G, N, ...) of each tracker group."""


def frame_result(parts: Iterable[Tracks], index: int) -> StepResult:
    """Return frame `index` of consecutive tracks as arrays (1, F, N, ...)."""
    for part in parts:
        if index < len(part):
            at = slice(index, index + 1)
            return StepResult(part.xy[at], part.visible[at], part.confidence[at])
        index -= len(part)
    raise IndexError(index)
