"""One video's run: find the query frame, place the landmarks, track them in both directions."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.callbacks import Progress
from facetrack.detectors import mapped
from facetrack.multiface.detection import FaceLandmarker
from facetrack.multiface.face_track import Event
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.assembly import Chunk, ChunkAssembler
from facetrack.pipeline.backward_pass import BackwardPass, BackwardState
from facetrack.pipeline.chunking import Chunker
from facetrack.pipeline.components import (
    create_cut_detector,
    create_face_landmarker,
    create_face_tracker,
    describe_models,
    redetects,
)
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import Query, QuerySearch
from facetrack.pipeline.track_log import TrackLog
from facetrack.trackers.base import wrapped_trackers
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo, time_decoding
from facetrack.video.span import SpanReader


@dataclass(frozen=True)
class RunState:
    """The state of a run between two chunks.

    Attributes:
        face_tracker, chunker: those of the forward pass.
        query: the query, without the image of its frame.
        backward: progress of the backward pass.
        warnings: the warnings so far.
        reached: index of the last frame that is done.
    """

    face_tracker: MultiFaceTracker
    chunker: Chunker
    query: Query
    backward: BackwardState
    warnings: list[str]
    reached: int


class Pipeline:
    """One video's run: iterate `run()` to get its chunks from the first frame to the last.

    Memory does not grow with the video. Each pass (search, backward, forward) decodes the frames
    again, and a log on disk holds the tracks of the frames before the query frame.

    Attributes:
        video, options: the video's path, and what to do with it.
        models: the models of the run; may be shared with other runs.
        reader: reads the video's frames.
        info: properties of the video.
        query_search: finds the query frame.
        query: the query frame and its landmarks; None until `run()` yields.
        warnings: sentences about lost data or ignored options.
        seconds: time spent, by stage.
        at_rest: True when `state()` matches exactly the chunks yielded so far.
        stage: what happens to frames before the first chunk is yielded, for messages.
    """

    def __init__(
        self,
        video: Path,
        options: Options,
        models: Models | None = None,
        reader: SpanReader | None = None,
    ) -> None:
        """
        Args:
            video: the video's path.
            options: how to track.
            models: of an earlier run with the same options, to use them again.
            reader: reads the frames; None for one that reads the video's file.
        """
        self.video = Path(video)
        self.options = options
        self.models = Models(options) if models is None else models
        self.reader = reader or SpanReader(self.video, options.span, options.fps)
        self.info: VideoInfo = self.reader.info
        self.query_search = QuerySearch(
            self.reader,
            options,
            lambda: self.face_landmarker,
            lambda: self.models.verifier(self.models.detector.scheme),
        )
        self.query: Query | None = None
        self.warnings: list[str] = []
        self.seconds = {"load": 0.0, "search": 0.0, "backwards": 0.0, "decode": 0.0, "track": 0.0}
        self.at_rest = False
        self.stage = "tracked backwards from the query frame"
        self._option_warnings: list[str] = []
        self._chunker: Chunker | None = None
        self._backward: BackwardPass | None = None

    @cached_property
    def face_landmarker(self) -> FaceLandmarker:
        """Detects faces in a frame and places their landmarks."""
        return create_face_landmarker(self.models)

    @cached_property
    def face_tracker(self) -> MultiFaceTracker:
        """The face tracker of the forward pass."""
        return create_face_tracker(self.models, self.options, lambda: self.face_landmarker)

    @property
    def redetects(self) -> bool:
        """True if faces are detected while tracking."""
        return redetects(self.options)

    @property
    def events(self) -> list[Event]:
        """Decisions about faces, in the order of the video."""
        backward = [] if self._backward is None else self._backward.state.events
        return backward + self.face_tracker.events

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the record's entries for the models: weights, SHA-256 and licence, by kind."""
        return describe_models(self.models, self.options)

    def prepare(self) -> None:
        """Create all models, so that a wrong name or file is reported before any work is done.

        Raises:
            FacetrackError: a model cannot be created.
        """
        began = time.perf_counter()
        models = self.models
        _ = models.tracker
        if self.options.points is not None:
            _ = self.query_search.own_points
            self._option_warnings = list(self.query_search.warnings)
        else:
            detector, _ = models.detector, models.face_detector
            self._option_warnings = mapped.option_warnings(detector, self.options.detector_options)
        self._option_warnings += self.reader.option_warnings
        self.warnings = list(self._option_warnings)
        _ = self.face_tracker
        self.seconds["load"] += time.perf_counter() - began

    def run(
        self,
        state: RunState | None = None,
        backward_log: TrackLog | None = None,
        on_backward_progress: Progress = lambda done, total: None,
    ) -> Iterator[Chunk]:
        """Track the video; yield its chunks in order.

        Args:
            state: of an interrupted run, to yield only the chunks that follow.
            backward_log: spools the tracks of the backward pass; holds those of the interrupted
                run. None for a temporary file.
            on_backward_progress: called with the number of frames that the backward pass has done
                and their total, both with the query frame; `state()` may be called from it.

        Raises:
            FacetrackError: a model, the video or an option cannot be used.
        """
        self.prepare()
        if state is None:
            backward_state = self._begin()
        else:
            self.face_tracker, self._chunker = state.face_tracker, state.chunker
            self.query, backward_state = state.query, state.backward
            self.warnings += state.warnings
        assert self.query is not None
        assert self._chunker is not None
        info, stride = self.info, self.options.stride
        assembler = ChunkAssembler(
            len(self.query.xy), self.query.scheme, (info.width, info.height), stride
        )
        self._backward = BackwardPass(
            backward_state,
            self.query,
            self.reader,
            assembler,
            TrackLog() if backward_log is None else backward_log,
            self.redetects,
            self.face_tracker.current,
        )
        self._run_backward(self._backward, on_backward_progress)
        after = self._chunker.resume_after
        after = self._backward.last_emitted if after is None else after
        frames = time_decoding(self.reader.forwards(after), self.seconds)
        self.at_rest = True
        yield from self._backward.emit(frames)
        yield from self._run_forward(frames, self._chunker, assembler)
        self.warnings += [w for w in self.reader.warnings if w not in self.warnings]
        self.warnings += self.models.tracker.take_warnings()

    def state(self) -> RunState:
        """Return what a later run needs to continue.

        Call this while `at_rest`, or from `on_backward_progress`.
        """
        assert self.query is not None
        assert self._backward is not None
        assert self._chunker is not None
        no_image = np.zeros((0, 0, 3), np.uint8)
        frame = dataclasses.replace(self.query.frame, image=no_image)
        query = dataclasses.replace(self.query, frame=frame)
        # Of the images that cannot be read; a continued run reads only those that follow.
        warnings = [*self.warnings, *self.reader.warnings]
        warnings = [w for w in warnings if w not in self._option_warnings]
        backward = self._backward.state
        reached = backward.reached
        if reached is None:
            reached = self._chunker.last_index
        if reached is None:
            reached = self._backward.last_emitted
        assert reached is not None
        return RunState(self.face_tracker, self._chunker, query, backward, warnings, reached)

    @property
    def shared(self) -> dict[str, Any]:
        """Objects that a RunState refers to and that a later run creates anew, by name."""
        objects: dict[str, Any] = {}
        for depth, tracker in enumerate(wrapped_trackers(self.models.tracker)):
            name = f"tracker {depth}"
            parts = {f"{name} {k}": v for k, v in vars(tracker).items() if hasattr(v, "__dict__")}
            objects |= {name: tracker, **parts}
        if self.options.points is None:
            objects |= {"finder": self.face_landmarker, **self.models.verifier_models}
        return objects

    def _begin(self) -> BackwardState:
        """Find the query frame, and set up both passes there."""
        began = time.perf_counter()
        self.query = query = self.query_search.find()
        self.seconds["search"] = time.perf_counter() - began
        window = self.models.tracker.window
        self.face_tracker.begin(query.frame, query.placed, query.visibilities, query.trusts)
        self._chunker = Chunker(self.face_tracker, create_cut_detector(self.options), window)
        num_frames = (query.frame.index - self.reader.first) // self.options.stride
        cuts = create_cut_detector(self.options)
        return BackwardState.begin(query, num_frames, self.face_tracker, cuts, window)

    def _run_backward(self, backward: BackwardPass, on_progress: Progress) -> None:
        began = time.perf_counter()
        num_ids = backward.run(on_progress)
        if num_ids is not None:
            # New faces of the backward pass keep their face_id in the forward pass.
            self.face_tracker.known = num_ids
            self.seconds["backwards"] += time.perf_counter() - began

    def _run_forward(
        self, frames: Iterator[Frame], chunker: Chunker, assembler: ChunkAssembler
    ) -> Iterator[Chunk]:
        for frame in itertools.chain(frames, [None]):
            began = time.perf_counter()
            clips = list(chunker.advance(frame))
            self.seconds["track"] += time.perf_counter() - began
            current = self.face_tracker.current
            chunks = [c for clip in clips for c in assembler.chunks(clip.new, clip.rows, current)]
            for i, chunk in enumerate(chunks):
                self.at_rest = i == len(chunks) - 1
                yield chunk
