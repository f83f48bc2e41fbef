"""The two stages joined: find the query frame, place the points, carry them both ways."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facetrack import defaults, faces, schemes, trackers
from facetrack.decode import Frame
from facetrack.detectors import DetectorOptions, LandmarkDetector, mapped
from facetrack.errors import FacetrackError
from facetrack.faces import FaceDetector
from facetrack.points import read_points
from facetrack.trackers import PointTracker, StepResult, TrackerOptions
from facetrack.tracks import Tracks
from facetrack.video import VideoInfo, VideoReader, probe, read_reversed

CHUNK = 8
"""Frames handed on at once by a causal tracker."""
EVERY_FRAME_UNTIL = 25
SEARCH_STRIDE = 5
THOROUGH_STRIDE = 25
"""The search for a first face looks at every frame at first, then at every fifth; when it finds
one it looks at those it has passed over. Face detector "auto" asks its slow half (a second a
frame) at every 25th frame only: a face that the fast half misses is rarely missed for long."""
LOST_SHARE = 0.1
FOUND_SHARE = 0.25
LOST_AFTER = 1.0
"""A face of which less than LOST_SHARE of the points has been seen for LOST_AFTER seconds is gone:
its points are unknown, not stale, until FOUND_SHARE of them is seen again."""


@dataclass(frozen=True)
class Options:
    """What a run does.

    Attributes:
        init: the landmark detector, or "points" for the user's own.
        detector_options: what the landmark detector is made from.
        scheme: the layout of the points that are tracked; None: the detector's own.
        points: file of the user's points (.pts, or CSV of x,y rows), with init "points".
        query_frame: 0-based frame the points are placed on; None: the first with a face, or 0
            with init "points".
        tracker: the point tracker's name.
        tracker_options: what it is made from.
        face_detector: the face detector's name.
    """

    init: str = defaults.INIT
    detector_options: DetectorOptions = field(default_factory=DetectorOptions)
    scheme: str | None = None
    points: Path | None = None
    query_frame: int | None = None
    tracker: str = "tapir"
    tracker_options: TrackerOptions = field(default_factory=TrackerOptions)
    face_detector: str = "auto"

    def __post_init__(self) -> None:
        if (self.init == "points") != (self.points is not None):
            raise FacetrackError("--init points and --points FILE go together.")
        chosen = self.detector_options
        if self.init == "points" and (self.scheme or chosen.flip or chosen.weights != "auto"):
            raise FacetrackError(
                "--detector-weights, --flip and --scheme are for landmark detectors: they do not "
                "go with --init points."
            )
        if self.scheme is not None:
            schemes.get(self.scheme)
        if self.query_frame is not None and self.query_frame < 0:
            raise FacetrackError("--query-frame counts from 0: it cannot be negative.")


@dataclass(frozen=True)
class Query:
    """The frame the points were placed on.

    Attributes:
        frame: that frame.
        xy: (N, 2) float32 pixels, pixel centres.
        score: (N,) float32 in [0, 1].
        scheme: the point layout's name.
        box: (4,) of the face, or None for the user's own points.
    """

    frame: Frame
    xy: np.ndarray
    score: np.ndarray
    scheme: str
    box: np.ndarray | None


@dataclass(frozen=True)
class Chunk:
    """Consecutive frames and what was found in them (one row a frame)."""

    frames: list[Frame]
    tracks: Tracks


class Pipeline:
    """One video's run. Iterating `run()` yields Chunks from the first frame to the last.

    Memory does not grow with the video: frames are decoded anew for the passes that need them
    (search, backwards, forwards), and only the points of the frames before the query frame wait.

    Attributes:
        info: the video's VideoInfo.
        query: the Query, once `run()` has begun to yield.
        warnings: sentences about what was lost.
        seconds: time spent a stage.
    """

    def __init__(self, video: Path, options: Options) -> None:
        self.video = Path(video)
        self.options = options
        self.info: VideoInfo = probe(self.video)
        self.query: Query | None = None
        self.warnings: list[str] = []
        self.seconds = {"load": 0.0, "search": 0.0, "backwards": 0.0, "decode": 0.0, "track": 0.0}

    @cached_property
    def detector(self) -> LandmarkDetector:
        """The landmark detector; made when first needed."""
        options = self.options
        return mapped.create(options.init, options.detector_options, options.scheme)

    @cached_property
    def faces(self) -> FaceDetector:
        """The face detector; made when first needed."""
        return faces.create(self.options.face_detector)

    @cached_property
    def _quick_faces(self) -> FaceDetector:
        """What looks at most frames of a search: the fast half of "auto", else the chosen one."""
        if self.options.face_detector != "auto":
            return self.faces
        from facetrack.faces.auto import quick

        return quick()

    @cached_property
    def tracker(self) -> PointTracker:
        """The point tracker."""
        return trackers.create(
            self.options.tracker, self.options.tracker_options, lambda: (self.detector, self.faces)
        )

    def prepare(self) -> None:
        """Make all parts, so that a wrong name or file is said before any work is done.

        Raises:
            FacetrackError: a part cannot be made.
        """
        began = time.perf_counter()
        _ = self.tracker
        if self.options.points is not None:
            _ = self._own_points
        else:
            _ = self.detector, self.faces
            self.warnings = mapped.remarks(self.detector, self.options.detector_options)
        self.seconds["load"] += time.perf_counter() - began

    # ---------------------------------------------------------------- stage 1

    def find_query(self) -> Query:
        """Place the points.

        Raises:
            FacetrackError: no face, no such frame, or points that cannot be used.
        """
        wanted = self.options.query_frame
        if self.options.points is not None:
            frame = self._frame(wanted or 0)
            xy = self._own_points
            scheme = schemes.for_count(len(xy)).name
            return Query(frame, xy, np.ones(len(xy), np.float32), scheme, None)
        if wanted is not None:
            query = self._detect(self._frame(wanted), self.faces)
            if query is None:
                raise FacetrackError(
                    f"No face was found in frame {wanted} of {self.video}: try another "
                    "--query-frame, --face-detector cnn, or give your own points with "
                    "--init points."
                )
            return query
        return self._search()

    def _frame(self, index: int) -> Frame:
        with VideoReader(self.video, first=index, last=index, info=self.info) as reader:
            return next(iter(reader))

    @cached_property
    def _own_points(self) -> np.ndarray:
        """(N, 2) the user's points; read once, as a pipe can be."""
        assert self.options.points is not None
        xy = read_points(self.options.points)
        size = [self.info.width, self.info.height]
        if not ((xy >= -0.5).all(1) & (xy <= np.array(size) - 0.5).all(1)).any():
            raise FacetrackError(
                f"No point of {self.options.points} lies inside the {size[0]}x{size[1]} picture: "
                "they must be x,y in pixels of the video."
            )
        return xy

    def _detect(self, frame: Frame, face_detector: FaceDetector) -> Query | None:
        found = face_detector.detect(frame.image)
        if not len(found.boxes):
            return None
        box = found.boxes[:1]
        landmarks = self.detector.detect(frame.image, box)
        if not np.isfinite(landmarks.xy[0]).all():
            return None
        return Query(frame, landmarks.xy[0], landmarks.score[0], self.detector.scheme, box[0])

    def _search(self) -> Query:
        passed: deque[Frame] = deque(maxlen=SEARCH_STRIDE - 1)
        seen = 0
        with VideoReader(self.video, info=self.info) as reader:
            for frame in reader:
                seen += 1
                if frame.index >= EVERY_FRAME_UNTIL and frame.index % SEARCH_STRIDE:
                    passed.append(frame)
                    continue
                thorough = frame.index % THOROUGH_STRIDE == 0
                query = self._detect(frame, self.faces if thorough else self._quick_faces)
                if query is not None:
                    return self._first_of(passed) or query
                passed.clear()
            # The end of the video may lie between two looks.
            query = self._first_of(passed)
            if query is not None:
                return query
        raise FacetrackError(
            f"No face was found in any of the {seen} frames of {self.video}: try --face-detector "
            "cnn, name a frame that shows one with --query-frame N, or give your own points with "
            "--init points --points FILE."
        )

    def _first_of(self, frames: Iterable[Frame]) -> Query | None:
        found = (self._detect(frame, self._quick_faces) for frame in frames)
        return next(filter(None, found), None)

    # ---------------------------------------------------------------- stage 2

    def run(self) -> Iterator[Chunk]:
        """Track; see the class."""
        self.prepare()
        began = time.perf_counter()
        query = self.find_query()
        self.query = query
        state = self.tracker.start(query.frame.image, query.xy)
        self.seconds["search"] = time.perf_counter() - began
        before = self._backwards(query)
        presence = Presence()
        with VideoReader(self.video, info=self.info) as reader:
            frames = timed(reader, self.seconds)
            yield from self._emit_known(frames, before, presence, query)
            for stretch, result in self._forwards(state, frames):
                yield self._chunk(stretch, result, presence, query)
            self.warnings += reader.warnings

    def _step(self, state: Any, frames: list[Frame]) -> StepResult:
        began = time.perf_counter()
        result = self.tracker.step(state, np.stack([f.image for f in frames]))
        self.seconds["track"] += time.perf_counter() - began
        return result

    def _backwards(self, query: Query) -> StepResult | None:
        """Points of the frames before the query frame, in order; None where there are none."""
        if query.frame.index == 0:
            return None
        began = time.perf_counter()
        state = self.tracker.start(query.frame.image, query.xy)
        found = [
            result
            for _, result in self._forwards(state, read_reversed(self.video, query.frame.index))
        ]
        joined = (np.concatenate(kind)[::-1] for kind in zip(*found, strict=True))
        self.seconds["backwards"] = time.perf_counter() - began
        return StepResult(*(kind[:-1] for kind in joined))

    def _forwards(
        self, state: Any, frames: Iterator[Frame]
    ) -> Iterator[tuple[list[Frame], StepResult]]:
        """Step over frames as the tracker likes them: small chunks, or overlapping stretches."""
        length, overlap = self.tracker.window or (CHUNK, 0)
        stretch: list[Frame] = []
        done = 0  # frames of the stretch that have been answered already
        for frame in frames:
            stretch.append(frame)
            if len(stretch) == length:
                result = self._step(state, stretch)
                # What is near the end is left to the next stretch, which sees what follows.
                upto = length - overlap // 2
                yield stretch[done:upto], StepResult(*(kind[done:upto] for kind in result))
                stretch, done = stretch[length - overlap :], overlap - overlap // 2
        if len(stretch) > done:
            result = self._step(state, stretch)
            yield stretch[done:], StepResult(*(kind[done:] for kind in result))

    def _emit_known(
        self, frames: Iterator[Frame], known: StepResult | None, presence: Presence, query: Query
    ) -> Iterator[Chunk]:
        """The frames before the query frame, with the points that the way back has found."""
        count = 0 if known is None else len(known.xy)
        for start in range(0, count, CHUNK):
            upto = min(start + CHUNK, count)
            stretch = [next(frames) for _ in range(start, upto)]
            assert known is not None
            part = StepResult(*(kind[start:upto] for kind in known))
            yield self._chunk(stretch, part, presence, query)

    def _chunk(
        self, frames: list[Frame], result: StepResult, presence: Presence, query: Query
    ) -> Chunk:
        times = np.array([f.time for f in frames])
        xy = result.xy.copy()
        xy[presence.gone(times, result.visible)] = np.nan
        known = np.isfinite(xy).all(-1)
        tracks = Tracks(
            xy=xy[:, None],
            visible=(result.visible & known)[:, None],
            confidence=np.where(known, result.confidence, 0).astype(np.float32)[:, None],
            time=times,
            face_id=np.zeros(1, np.int64),
            scheme=query.scheme,
            size=(self.info.width, self.info.height),
            first_frame=frames[0].index,
        )
        return Chunk(frames, tracks)


class Presence:
    """Whether the face is still there, frame by frame."""

    def __init__(self) -> None:
        self._last_seen: float | None = None
        self._lost = False

    def gone(self, times: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """times (K,), visible (K, N) -> (K,) bool, True where the points are unknown."""
        out = np.zeros(len(times), bool)
        for k, (now, share) in enumerate(zip(times, visible.mean(-1), strict=True)):
            if share >= (FOUND_SHARE if self._lost else LOST_SHARE) or self._last_seen is None:
                self._last_seen, self._lost = float(now), False
            elif now - self._last_seen >= LOST_AFTER - 1e-6:
                self._lost = True
            out[k] = self._lost
        return out


def timed(reader: VideoReader, seconds: dict[str, float]) -> Iterator[Frame]:
    """Frames of `reader`; the time they take is added to `seconds["decode"]`."""
    frames = iter(reader)
    while True:
        began = time.perf_counter()
        frame = next(frames, None)
        seconds["decode"] += time.perf_counter() - began
        if frame is None:
            return
        yield frame


def progress_total(info: VideoInfo) -> int | None:
    """About how many frames a video has, from its header; for progress only."""
    if info.duration is None or info.fps is None:
        return None
    return max(1, round(info.duration * float(info.fps)))


Progress = Callable[[int, "int | None"], None]
"""Called with the frames done and about how many there are."""
