"""Track a live source: each frame once, in order, with rows that leave at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from facetrack.detectors import mapped
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.multiface.clip import Clip
from facetrack.multiface.detection import FaceLandmarker
from facetrack.multiface.face_track import Event
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.assembly import Chunk, ChunkAssembler
from facetrack.pipeline.components import (
    create_cut_detector,
    create_face_landmarker,
    create_face_tracker,
    describe_models,
)
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import (
    BETTER_WITHIN,
    Query,
    detect_query,
    query_badness,
    read_own_points,
)
from facetrack.video.frame import Frame
from facetrack.video.probe import VideoInfo

SEARCH_INTERVAL_S = 0.2
"""Seconds of the source between two searches for a face while none is followed."""
THOROUGH_INTERVAL_S = 10.0
"""Seconds between two searches with the slow half of face detector "auto". It takes a second, in
which frames are dropped."""
_FIRST_THOROUGH_S = 2.0
"""Seconds to the first of them where frames are dropped; else it is the first search."""


def check_live_options(options: Options) -> None:
    """Refuse options that need a video that can be read again.

    Raises:
        FacetrackError: there is such an option.
    """
    refused = {
        "--query-frame": options.all_query_frames != (None,),
        "--corrections": options.corrections is not None,
        "--start": options.start is not None,
        "--end": options.end is not None,
    }
    given = [name for name, is_given in refused.items() if is_given]
    if given:
        raise FacetrackError(
            f"{given[0]} does not go with a live source, whose frames come once: it is tracked "
            "from its first frame with a face, until --seconds, --max-frames or Ctrl-C."
        )


class FrameSource(Protocol):
    """Hands on frames that come once, in order: `LiveReader`, `FrameStream`."""

    @property
    def info(self) -> VideoInfo:
        """Properties of the frames."""

    @property
    def drops(self) -> bool:
        """True if frames are dropped while the consumer is too slow."""

    def batches(self) -> Iterator[list[Frame]]:
        """Yield the frames that wait; [] while none comes."""


Source = TypeVar("Source", bound=FrameSource)


class LivePipeline(Generic[Source]):
    """One run on a live source: iterate `run()` to get its chunks.

    There is no backward pass, and no later frame is waited for. The rows before the first frame
    with a face are empty. A face that is turned away or covered is started from all the same if no
    better one comes soon.

    Args:
        reader: reads the source.
        options: how to track.
        models: the models of the run; may be shared with other runs.

    Attributes:
        query: the query frame and its landmarks; None until a face was found.
        warnings: sentences about ignored options, after `prepare`.
        seconds: time spent, by stage.
    """

    def __init__(self, reader: Source, options: Options, models: Models | None = None) -> None:
        check_live_options(options)
        self.reader, self.options = reader, options
        self.models = Models(options) if models is None else models
        self.query: Query | None = None
        self.warnings: list[str] = []
        self.seconds = {"load": 0.0, "search": 0.0, "track": 0.0}
        self._own_points: np.ndarray | None = None
        self._cuts = create_cut_detector(options)
        self._searched_at = -np.inf
        self._thorough_at = _FIRST_THOROUGH_S if reader.drops else 0.0
        self._since: int | None = None

    @cached_property
    def face_landmarker(self) -> FaceLandmarker:
        """Detects faces in a frame and places their landmarks."""
        return create_face_landmarker(self.models)

    @cached_property
    def face_tracker(self) -> MultiFaceTracker:
        """Tracks the faces."""
        return create_face_tracker(self.models, self.options, lambda: self.face_landmarker)

    @property
    def events(self) -> list[Event]:
        """Decisions about faces, in order."""
        return self.face_tracker.events

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the record's entries for the models: weights, SHA-256 and licence, by kind."""
        return describe_models(self.models, self.options)

    def prepare(self) -> None:
        """Create all models.

        Raises:
            FacetrackError: a model cannot be created, or needs later frames.
        """
        began = time.perf_counter()
        models, options = self.models, self.options
        if models.tracker.window is not None:
            raise FacetrackError(
                "This tracker looks at later frames, which a live source does not have yet: take a "
                "causal one, such as the bundled tapir-s."
            )
        if options.points is not None:
            info = self.reader.info
            size = (info.width, info.height)
            self._own_points, self.warnings = read_own_points(options.points, size)
        else:
            _ = self.face_landmarker
            self.warnings = mapped.option_warnings(models.detector, options.detector_options)
            _ = models.verifier(models.detector.scheme)
        _ = self.face_tracker
        self._warm_up()
        self.seconds["load"] += time.perf_counter() - began

    def _warm_up(self) -> None:
        """Use all networks once: they load on first use, and frames would be dropped meanwhile."""
        info, tracker = self.reader.info, self.models.tracker
        blank = np.zeros((info.height, info.width, 3), np.uint8)
        if self._own_points is None:
            self.face_landmarker.find(blank)
            box = np.array([[0.3, 0.3, 0.7, 0.7]], np.float32) * np.tile(blank.shape[1::-1], 2)
            points = self.models.detector.detect(blank, box.astype(np.float32)).xy[0]
        else:
            points = self._own_points
        if np.isfinite(points).all():
            state = tracker.start(blank, points)
            tracker.step(state, np.stack([blank]))
            tracker.take_warnings()

    def run(self) -> Iterator[Chunk | None]:
        """Track the source; yield a chunk or more for the frames that wait, None while none comes.

        Raises:
            FacetrackError: the source or an option cannot be used.
        """
        for frames in self.reader.batches():
            if not frames:
                yield None
                continue
            yield from self._advance(frames)
        self.warnings += self.models.tracker.take_warnings()

    # ---------------------------------------------------------------- frames

    def _advance(self, frames: list[Frame]) -> Iterator[Chunk]:
        """Yield the rows of frames that are tracked together; no clip crosses a cut."""
        waiting: list[Frame] = []
        for frame in frames:
            if self._cuts is not None and self._cuts.is_cut(frame.image):
                yield from self._track(waiting)
                waiting = []
                self._searched_at = -np.inf
                if self.query is not None:
                    self.face_tracker.cut(frame)
            if self.query is None:
                self._search(frame)
            if self.query is None:
                yield self._empty(frame)
            elif self.face_tracker.searching and not self._is_search_due(frame):
                yield from self._track(waiting)
                waiting = []
                if self.face_tracker.searching:
                    yield self._empty(frame)
                else:  # one of those that waited shows a face
                    waiting.append(frame)
            else:
                waiting.append(frame)
        yield from self._track(waiting)

    def _track(self, frames: list[Frame]) -> Iterator[Chunk]:
        if not frames:
            return
        began = time.perf_counter()
        clip = Clip.of(frames, 0, len(frames))
        self.face_tracker.advance(clip)
        chunks = list(self._assembler.chunks(clip.new, clip.rows, self.face_tracker.current))
        self.seconds["track"] += time.perf_counter() - began
        yield from chunks

    def _empty(self, frame: Frame) -> Chunk:
        return self._assembler.chunk([frame], [{}], self.face_tracker.current)

    @cached_property
    def _assembler(self) -> ChunkAssembler:
        info = self.reader.info
        if self._own_points is not None:
            scheme = schemes.for_count(len(self._own_points))
        else:
            scheme = schemes.get(self.models.detector.scheme)
        return ChunkAssembler(scheme.count, scheme.name, (info.width, info.height), 1)

    # ---------------------------------------------------------------- the query frame

    def _is_search_due(self, frame: Frame) -> bool:
        """Return True, and note it, if a face is to be searched for in this frame."""
        if frame.time < self._searched_at + SEARCH_INTERVAL_S - 1e-6:
            return False
        self._searched_at = frame.time
        return True

    def _search(self, frame: Frame) -> None:
        """Make the frame the query frame if it shows a face that is good enough."""
        if self._own_points is not None:
            xy = self._own_points
            score = np.ones(len(xy), np.float32)
            self._begin(Query(frame, xy, score, self._assembler.scheme, None, since=frame.index))
            return
        if not self._is_search_due(frame):
            return
        began = time.perf_counter()
        thorough = frame.time >= self._thorough_at
        if thorough:
            self._thorough_at = frame.time + THOROUGH_INTERVAL_S
        query = detect_query(self.face_landmarker, frame, self.options.faces, thorough)
        self.seconds["search"] += time.perf_counter() - began
        if query is None or query.is_doubtful:
            return
        self._since = frame.index if self._since is None else self._since
        badness = query_badness(self.models.verifier(query.scheme), query)
        if badness <= 1 or frame.index >= self._since + BETTER_WITHIN:
            self._begin(query)

    def _begin(self, query: Query) -> None:
        self.query = query
        self.face_tracker.begin(query.frame, query.placed, query.visibilities, query.trusts)
