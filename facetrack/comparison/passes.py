"""Stage 2 of a comparison: all methods through one decoding of the video."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from facetrack.callbacks import Progress
from facetrack.comparison import measures
from facetrack.comparison.initialisers import InitialPoints, QueryStage
from facetrack.comparison.tracker_groups import TrackerGroup, TrackingSession, stretches
from facetrack.landmarks import schemes
from facetrack.multiface.face_track import PresenceFilter
from facetrack.pipeline.query_frame import Query
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoReader, read_reversed, time_decoding

Sink = Callable[[list[Frame], dict[str, Tracks]], None]
"""Called with consecutive frames, and the tracks over them by label."""


@dataclass
class Method:
    """One init carried by one tracker, while it runs.

    Attributes:
        placed: its points in the query frame.
        lane, group: which tracker carries it, and as which of its groups; None where the init
            has failed.
        parts: its tracks so far.
        cycle: its cycle error, per cent.
        seconds: by stage.
    """

    init: str
    tracker: str
    placed: InitialPoints
    lane: TrackerGroup | None = None
    group: int = 0
    presence: PresenceFilter = field(default_factory=PresenceFilter)
    parts: list[Tracks] = field(default_factory=list)
    cycle: float = np.nan
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As tables show it."""
        return f"{self.init} + {self.tracker}"

    def answer(self, answers: dict[TrackerGroup, StepResult], frames: int) -> StepResult:
        """Its own points among those that the lanes have answered for so many frames."""
        if self.lane is None:
            shape = (frames, len(self.placed.xy))
            nowhere = np.full((*shape, 2), np.nan, np.float32)
            return StepResult(nowhere, np.zeros(shape, bool), np.zeros(shape, np.float32))
        return StepResult(*(kind[:, self.group] for kind in answers[self.lane]))


class Checks:
    """Asks each init's own detector anew, every so often.

    Attributes:
        found: (N, 2) points by init and frame.
        failed: how often an init found nothing, though a face was being followed.
        seconds, face_seconds: spent on landmarks, by init, and on finding the face.
    """

    def __init__(self, every: float, stage: QueryStage, inits: Iterable[str]) -> None:
        self._every, self._stage, self._due = every, stage, -np.inf
        self.found: dict[str, dict[int, np.ndarray]] = {init: {} for init in inits}
        self.failed = dict.fromkeys(self.found, 0)
        self.seconds = dict.fromkeys(self.found, 0.0)
        self.face_seconds = 0.0

    def look(self, frame: Frame, xy: np.ndarray) -> None:
        """Ask, if it is time to; xy (M, 2) are the points of all methods, which tell the face."""
        known = xy[np.isfinite(xy).all(-1)]
        # Where no face is followed none can be missed.
        if not self._every or frame.time < self._due or not len(known):
            return
        self._due = frame.time + self._every - 1e-6
        began = time.perf_counter()
        boxes = self._stage.quick_faces.detect(frame.image).boxes
        self.face_seconds += time.perf_counter() - began
        box = _around(boxes, known)
        for init, found in self.found.items():
            began = time.perf_counter()
            points = None
            if box is not None:
                points = self._stage.detectors[init].detect(frame.image, box[None]).xy[0]
            self.seconds[init] += time.perf_counter() - began
            if points is None or not np.isfinite(points).all():
                self.failed[init] += 1
            else:
                found[frame.index] = points


def _around(boxes: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Of boxes (F, 4) the one whose centre is nearest to that of points (M, 2); None where none is
    within the points' extent of it."""
    if not len(boxes):
        return None
    away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - np.median(points, 0), axis=1)
    nearest = int(away.argmin())
    return boxes[nearest] if away[nearest] <= np.ptp(points, 0).max() else None


class ComparisonPasses:
    """Passes through the video with all methods.

    Attributes:
        warnings: sentences about what was lost.
        seconds: spent reading the video and in the sink.
    """

    def __init__(
        self,
        stage: QueryStage,
        query: Query,
        methods: list[Method],
        checks: Checks,
        sink: Sink,
        progress: Progress,
    ) -> None:
        self._stage, self._query, self._methods = stage, query, methods
        self._checks, self._sink, self._progress = checks, sink, progress
        # A dict for its order: each lane once.
        self._lanes = list(dict.fromkeys(m.lane for m in methods if m.lane is not None))
        self._image, self._first = query.frame.image, query.frame.index
        self._stepped, self._beyond = 0, 0
        self.warnings: list[str] = []
        self.seconds = {"decode": 0.0, "draw": 0.0}

    def run(self, cycle_frames: int) -> None:
        """Fill every method's parts, cycle error and seconds."""
        # The frames before the query frame are stepped over backwards only, it itself both ways.
        self._beyond = (cycle_frames + 1 if cycle_frames else 0) + (1 if self._first else 0)
        known = self._timed("backwards", self._backwards)
        self._timed("track", lambda: self._forwards(known))
        self._timed("cycle", lambda: self._cycle(cycle_frames))

    def _timed(self, stage: str, work: Callable[[], Answers]) -> Answers:
        """Do a part of the work, and tell the methods how long theirs took."""
        before = {lane: lane.seconds for lane in self._lanes}
        done = work()
        for method in self._methods:
            if method.lane is not None:
                spent = method.lane.seconds - before[method.lane]
                method.seconds[stage] = float(spent[method.group])
        return done

    # ---------------------------------------------------------------- passes

    def _backwards(self) -> Answers:
        """Points of the frames before the query frame, in order."""
        if not self._first:
            return {}
        passages = {lane: lane.begin(self._image) for lane in self._lanes}
        self._feed(passages, read_reversed(self._stage.video, self._first))
        return {
            lane: StepResult(*(kind[::-1][:-1] for kind in passage.take(passage.ready)))
            for lane, passage in passages.items()
        }

    def _forwards(self, known: Answers) -> Answers:
        """All frames, in order; `known` has the answers for those before the query frame."""
        with VideoReader(self._stage.video, info=self._stage.info) as reader:
            frames = time_decoding(reader, self.seconds)
            done = 0
            for stretch in stretches(itertools.islice(frames, self._first)):
                span = slice(done, done + len(stretch))
                part = {lane: StepResult(*(k[span] for k in a)) for lane, a in known.items()}
                self._emit(stretch, part)
                done += len(stretch)
            passages = {lane: lane.begin(self._image) for lane in self._lanes}
            self._feed(passages, frames, self._drain)
            self.warnings += reader.warnings
        return {}

    def _cycle(self, most: int) -> Answers:
        """Carry the points back from some frames after the query frame, and see where they end."""
        count = sum(map(len, self._methods[0].parts))
        end = min(self._first + most, count - 1)
        lanes = [lane for lane in self._lanes if lane.carries]
        if end <= self._first or not lanes:
            return {}
        frames = itertools.islice(read_reversed(self._stage.video, end), end - self._first + 1)
        start = next(frames)
        there = {m.label: row(m.parts, end) for m in self._methods}
        passages = {}
        for lane in lanes:
            points = lane.points.copy()
            for method in self._of(lane):
                xy = there[method.label].xy[0, 0]
                # What is lost by then starts anywhere, and does not count below.
                known = np.isfinite(xy).all(-1)
                points[method.group, known] = xy[known]
            passages[lane] = lane.begin(start.image, points)
        self._feed(passages, itertools.chain([start], frames))
        for lane, passage in passages.items():
            back = passage.take(passage.ready).xy[-1]
            for method in self._of(lane):
                seen = there[method.label].visible[0, 0, :, None]
                ended = np.where(seen, back[method.group], np.nan)
                scheme = schemes.get(method.placed.scheme)
                method.cycle = measures.cycle(method.placed.xy, ended, scheme)
        return {}

    def _of(self, lane: TrackerGroup) -> list[Method]:
        return [method for method in self._methods if method.lane is lane]

    # ---------------------------------------------------------------- frames

    def _feed(
        self,
        passages: dict[TrackerGroup, TrackingSession],
        frames: Iterable[Frame],
        drain: Callable[[list[Frame], dict[TrackerGroup, TrackingSession]], list[Frame]]
        | None = None,
    ) -> None:
        """Take all passages through the frames; `drain` is given those that are not drained yet,
        and returns the rest."""
        waiting: list[Frame] = []
        for stretch in stretches(frames):
            stack = np.stack([frame.image for frame in stretch])
            for passage in passages.values():
                passage.feed(stack)
            if drain is not None:
                waiting = drain(waiting + stretch, passages)
            self._advance(len(stretch))
        for passage in passages.values():
            passage.finish()
        if drain is not None:
            drain(waiting, passages)

    def _drain(
        self, waiting: list[Frame], passages: dict[TrackerGroup, TrackingSession]
    ) -> list[Frame]:
        """Hand on the frames that every lane has answered; returns the others."""
        ready = min(passage.ready for passage in passages.values())
        if ready:
            answers = {lane: passage.take(ready) for lane, passage in passages.items()}
            self._emit(waiting[:ready], answers)
        return waiting[ready:]

    def _emit(self, frames: list[Frame], answers: Answers) -> None:
        found: dict[str, Tracks] = {}
        for method in self._methods:
            answer, scheme = method.answer(answers, len(frames)), method.placed.scheme
            tracks = self._stage.tracks(frames, answer, method.presence, scheme)
            method.parts.append(tracks)
            found[method.label] = tracks
        for i, frame in enumerate(frames):
            self._checks.look(frame, np.concatenate([one.xy[i, 0] for one in found.values()]))
        began = time.perf_counter()
        self._sink(frames, found)
        self.seconds["draw"] += time.perf_counter() - began

    def _advance(self, count: int) -> None:
        self._stepped += count
        total = self._stage.reader.total
        self._progress(self._stepped, None if total is None else total + self._beyond)


Answers = dict[TrackerGroup, StepResult]
"""Arrays (K, G, N, ...) of each lane's groups."""


def row(parts: Iterable[Tracks], index: int) -> StepResult:
    """Frame `index` of consecutive tracks: arrays (1, F, N, ...)."""
    for part in parts:
        if index < len(part):
            at = slice(index, index + 1)
            return StepResult(part.xy[at], part.visible[at], part.confidence[at])
        index -= len(part)
    raise IndexError(index)
