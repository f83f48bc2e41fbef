"""The two stages joined: find the query frame, place the points, carry them both ways."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.callbacks import Progress
from facetrack.detectors import LandmarkDetector, mapped
from facetrack.face_detectors import FaceDetector
from facetrack.multiface.clip import Clip, Row
from facetrack.multiface.detection import FaceLandmarker
from facetrack.multiface.face_track import Event, RedetectPolicy
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.backward_pass import BackwardPass, time_reversed
from facetrack.pipeline.chunking import Chunker, frames_at_once
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import Query, QuerySearch
from facetrack.pipeline.track_log import TrackLog
from facetrack.trackers import PointTracker, StepResult
from facetrack.trackers.expression.tracker import ExpressionTracker
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo, time_decoding
from facetrack.video.span import SpanReader

if TYPE_CHECKING:
    from facetrack.video.cuts import CutDetector


@dataclass(frozen=True)
class RunState:
    """What a run knows between two chunks.

    Attributes:
        scene, stretches, query, events, back: as in the Pipeline; the query's picture is left out.
        warnings: so far.
        reached: index of the last frame that is done.
    """

    scene: MultiFaceTracker
    stretches: Chunker
    query: Query
    events: list[Event]
    back: BackwardPass
    warnings: list[str]
    reached: int


class Pipeline:
    """One video's run. Iterating `run()` yields Chunks from the first frame to the last.

    Memory does not grow with the video: frames are decoded anew for the passes that need them
    (search, backwards, forwards), and the points of those before the query frame wait in a file.

    Attributes:
        info: the video's VideoInfo.
        reader: reads its frames.
        parts: what it is made of; given, they are used again.
        placing: stage 1.
        query: the Query, once `run()` has begun to yield.
        warnings: sentences about what was lost.
        seconds: time spent a stage.
        at_rest: whether all that was yielded is in `state()`, and no more.
        before: where the points of the frames before the query frame wait.
        told_back: told how many frames are done on the way back, and how many there are, the query
            frame being one; `state()` may be asked for then, too.
    """

    def __init__(self, video: Path, options: Options, parts: Models | None = None) -> None:
        self.video = Path(video)
        self.options = options
        self.parts = Models(options) if parts is None else parts
        self.reader = SpanReader(self.video, options.span)
        self.info: VideoInfo = self.reader.info
        self.query: Query | None = None
        self.warnings: list[str] = []
        self.seconds = {"load": 0.0, "search": 0.0, "backwards": 0.0, "decode": 0.0, "track": 0.0}
        self.at_rest = False
        self.before = TrackLog()
        self.told_back: Progress = lambda done, total: None
        self.placing = QuerySearch(
            self.reader,
            options,
            lambda: self.finder,
            lambda: self.parts.judge(self.detector.scheme),
        )
        self._events: list[Event] = []  # of the way back
        self._remarks: list[str] = []

    @property
    def detector(self) -> LandmarkDetector:
        """The landmark detector; made when first needed."""
        return self.parts.detector

    @property
    def faces(self) -> FaceDetector:
        """The face detector; made when first needed."""
        return self.parts.faces

    @property
    def tracker(self) -> PointTracker:
        """The point tracker."""
        return self.parts.tracker

    @cached_property
    def finder(self) -> FaceLandmarker:
        """Stage 1 on one frame."""
        return FaceLandmarker(self.detector, self.faces, self.parts.quick_faces)

    @cached_property
    def scene(self) -> MultiFaceTracker:
        """Who is followed, and when to detect again."""
        options = self.options
        if not self.detects_again:
            return MultiFaceTracker(self.tracker, None, None, self._unlooking)
        every = options.redetect if isinstance(options.redetect, int) else None
        judge = self.parts.judge(self.detector.scheme)
        return MultiFaceTracker(
            self.tracker, self.finder, judge, RedetectPolicy(every, options.faces)
        )

    @property
    def detects_again(self) -> bool:
        """Whether faces are looked for while tracking."""
        return self.options.redetect != "never" and self.options.points is None

    def describe(self) -> dict[str, dict[str, Any]]:
        """What its parts say of themselves, by kind: weights, their sha256 and licence."""
        tracker = self.tracker.describe()
        beside = tracker.pop("expressions", None)
        described = {"tracker": tracker}
        if beside is not None:
            described["expressions"] = beside
        if self.options.points is None:
            described["detector"] = self.detector.describe()
        if self.detects_again:
            described |= self.parts.describe_judge()
        return described

    @property
    def _unlooking(self) -> RedetectPolicy:
        # What cannot be detected again may only be found by the tracker, after a cut as well.
        return RedetectPolicy(faces=self.options.faces, cuts_end=self.options.points is None)

    @property
    def events(self) -> list[Event]:
        """What was decided about faces, in order."""
        return self._events + self.scene.events

    def prepare(self) -> None:
        """Make all parts, so that a wrong name or file is said before any work is done.

        Raises:
            FacetrackError: a part cannot be made.
        """
        began = time.perf_counter()
        _ = self.tracker
        if self.options.points is not None:
            _ = self.placing.own_points
        else:
            _ = self.detector, self.faces
            self._remarks = mapped.option_warnings(self.detector, self.options.detector_options)
            self.warnings = list(self._remarks)
        _ = self.scene
        self.seconds["load"] += time.perf_counter() - began

    def find_query(self) -> Query:
        """Place the points; see `QuerySearch.find`."""
        return self.placing.find()

    # ---------------------------------------------------------------- stage 2

    def run(self, state: RunState | None = None) -> Iterator[Chunk]:
        """Track; see the class.

        Args:
            state: of a run that was ended; what follows it is yielded.
        """
        self.prepare()
        if state is None:
            began = time.perf_counter()
            query = self.find_query()
            self.query = query
            self.seconds["search"] = time.perf_counter() - began
            self.scene.begin(query.frame, query.placed)
            self._stretches = Chunker(self.scene, self._cuts(), self.tracker.window)
            self._back = self._turned_round(query)
        else:
            self._restore(state)
        self._go_back()
        after = self._given if self._stretches.after is None else self._stretches.after
        frames = time_decoding(self.reader.forwards(after), self.seconds)
        self.at_rest = True
        yield from self._from_before(frames)
        for frame in itertools.chain(frames, [None]):
            chunks = self._fed_with(frame)
            for i, chunk in enumerate(chunks):
                self.at_rest = i == len(chunks) - 1
                yield chunk
        self.warnings += self.reader.warnings
        self.warnings += self.tracker.take_warnings()

    def _fed_with(self, frame: Frame | None) -> list[Chunk]:
        """The chunks that the next frame, or the end, completes."""
        began = time.perf_counter()
        stretches = list(self._stretches.advance(frame))
        self.seconds["track"] += time.perf_counter() - began
        return [chunk for s in stretches for chunk in self._chunks(s.new, s.rows)]

    def state(self) -> RunState:
        """All that a later run needs to go on; to be asked for while `at_rest`, or on the way back
        by what is told of it."""
        assert self.query is not None
        nothing = np.zeros((0, 0, 3), np.uint8)
        frame = dataclasses.replace(self.query.frame, image=nothing)
        query = dataclasses.replace(self.query, frame=frame)
        warnings = [w for w in self.warnings if w not in self._remarks]
        reached = self._stretches.fed
        if self._back.stretches is not None:
            reached = -(self._back.stretches.fed or 0)
        elif reached is None:
            reached = self._given
        assert reached is not None
        return RunState(
            self.scene, self._stretches, query, self._events, self._back, warnings, reached
        )

    def _restore(self, state: RunState) -> None:
        self.__dict__["scene"] = state.scene
        self._stretches, self.query = state.stretches, state.query
        self._back, self._events = state.back, state.events
        self.warnings += state.warnings

    # ---------------------------------------------------------------- the way back

    def _turned_round(self, query: Query) -> BackwardPass:
        """At the query frame, to go back."""
        count = (query.frame.index - self.reader.first) // self.options.stride
        if not count:
            return BackwardPass(0)
        scene = self.scene.clone_empty()
        scene.begin(time_reversed(query.frame), query.placed)
        return BackwardPass(count, scene, Chunker(scene, self._cuts(), self.tracker.window))

    def _go_back(self) -> None:
        """Track to the first frame, or as far as there is somebody. Who is new there is followed
        after the query frame under the same face_id."""
        back, query = self._back, self.query
        scene, stretches = back.scene, back.stretches
        if scene is None or stretches is None:
            return
        assert query is not None
        began = time.perf_counter()
        last = query.frame.index if stretches.after is None else -stretches.after - 1
        frames = self.reader.backwards(last) if last >= self.reader.first else ()
        for frame in itertools.chain(map(time_reversed, frames), [None]):
            met = list(stretches.advance(frame))
            for stretch in met:
                self._keep(stretch)
            if not met:
                continue
            self.told_back(back.known + 1, back.count + 1)
            if not scene.faces and (not self.detects_again or -met[-1].last.index <= query.since):
                break
        self.scene.known = scene.known
        self._events = back.end()
        self.seconds["backwards"] += time.perf_counter() - began

    def _keep(self, stretch: Clip) -> None:
        """Have the points of a stretch of the way back wait for their turn."""
        assert self.query is not None
        frames = [time_reversed(frame) for frame in reversed(stretch.new)]
        rows = stretch.rows[::-1]
        if frames[-1].index == self.query.frame.index:
            del frames[-1], rows[-1]
        for chunk in reversed(list(self._chunks(frames, rows))):
            self.before.add(chunk.tracks)
        self._back.known += len(frames)

    def _from_before(self, frames: Iterator[Frame]) -> Iterator[Chunk]:
        """The frames before the query frame, in their order; without those yielded already."""
        back = self._back
        while back.given < back.nobody:
            frame = next(frames)
            more = min(frames_at_once(frame), back.nobody - back.given) - 1
            some = [frame, *itertools.islice(frames, more)]
            back.given += len(some)
            yield self._chunk(some, [{} for _ in some])
        done = back.given - back.nobody
        for tracks in reversed(self.before):
            if done > 0:
                done -= len(tracks)
                continue
            back.given += len(tracks)
            yield Chunk(list(itertools.islice(frames, len(tracks))), tracks)

    @property
    def _given(self) -> int | None:
        """Index of the last frame before the query frame that was yielded."""
        given = self._back.given
        return self.reader.first + (given - 1) * self.options.stride if given else None

    # ---------------------------------------------------------------- parts and rows

    @property
    def shared(self) -> dict[str, Any]:
        """What a RunState refers to, and a later run makes anew; by name."""
        tracker = self.tracker
        parts: dict[str, Any] = {"tracker": tracker}
        if isinstance(tracker, ExpressionTracker):
            tracker = tracker.tracker
            parts["guided tracker"] = tracker
        parts |= {f"tracker {k}": v for k, v in vars(tracker).items() if hasattr(v, "__dict__")}
        if self.options.points is None:
            parts |= {"finder": self.finder, **self.parts.judging}
        return parts

    def _cuts(self) -> CutDetector | None:
        if self.options.redetect == "never":
            return None
        from facetrack.video.cuts import CutDetector

        return CutDetector()

    def _chunks(self, frames: list[Frame], rows: list[Row]) -> Iterator[Chunk]:
        """Rows of the same faces together."""
        begin = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end].keys() != rows[begin].keys():
                yield self._chunk(frames[begin:end], rows[begin:end])
                begin = end

    def _chunk(self, frames: list[Frame], rows: list[Row]) -> Chunk:
        assert self.query is not None
        # Every frame has a row, also where nobody is there.
        ids = sorted(rows[0]) or [self.scene.current]
        count = len(self.query.xy)
        nobody = (
            np.full((count, 2), np.nan, np.float32),
            np.zeros(count, bool),
            np.zeros(count, np.float32),
        )
        xy, visible, confidence = (
            np.array([[row.get(i, nobody)[kind] for i in ids] for row in rows]) for kind in range(3)
        )
        found = StepResult(xy, visible, confidence)
        return Chunk(frames, self._tracks(frames, found, ids, self.query.scheme))

    def _tracks(
        self, frames: list[Frame], found: StepResult, ids: list[int], scheme: str
    ) -> Tracks:
        return Tracks(
            **found._asdict(),
            time=np.array([f.time for f in frames]),
            face_id=np.array(ids, np.int64),
            scheme=scheme,
            size=(self.info.width, self.info.height),
            first_frame=frames[0].index,
            stride=self.options.stride,
        )
