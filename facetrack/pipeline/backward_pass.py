"""Track from the query frame back to the first frame.

A tracker sees reversed frames with negated index and time, so that both increase. The tracks become
known from the last frame to the first, but outputs need them from the first to the last: they are
spooled in a log until the forward pass has begun.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from facetrack.callbacks import Progress
from facetrack.multiface.clip import Clip
from facetrack.multiface.face_track import Event
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.assembly import Chunk, ChunkAssembler
from facetrack.pipeline.chunking import Chunker, frames_at_once
from facetrack.pipeline.query_frame import Query
from facetrack.pipeline.track_log import TrackLog
from facetrack.video.cuts import CutDetector
from facetrack.video.frame import Frame
from facetrack.video.span import SpanReader


@dataclass
class BackwardState:
    """Progress of a backward pass; a saved run holds it.

    Attributes:
        num_frames: frames before the query frame.
        face_tracker, chunker: step through the reversed frames; None once the pass is complete.
        num_tracked: frames whose tracks are spooled. Once the pass is complete, the frames before
            these show no face.
        num_emitted: frames that were yielded in the order of the video.
        events: the pass's decisions in the order of the video, once it is complete.
    """

    num_frames: int
    face_tracker: MultiFaceTracker | None = None
    chunker: Chunker | None = None
    num_tracked: int = 0
    num_emitted: int = 0
    events: list[Event] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        query: Query,
        num_frames: int,
        face_tracker: MultiFaceTracker,
        cuts: CutDetector | None,
        window: tuple[int, int] | None,
    ) -> BackwardState:
        """Return the state at the query frame.

        Args:
            num_frames: frames before the query frame.
            face_tracker: the forward pass's; the backward pass uses an empty clone.
            cuts, window: see `Chunker`.
        """
        if not num_frames:
            return cls(0)
        backward = face_tracker.clone_empty()
        frame = time_reversed(query.frame)
        backward.begin(frame, query.placed, query.visibilities, query.trusts)
        return cls(num_frames, backward, Chunker(backward, cuts, window))

    @property
    def num_without_face(self) -> int:
        """Number of first frames that show no face; valid once the pass is complete."""
        return self.num_frames - self.num_tracked

    @property
    def reached(self) -> int | None:
        """Index of the frame that the pass has reached; None once it is complete."""
        return None if self.chunker is None else -(self.chunker.last_index or 0)

    def complete(self) -> None:
        """Collect the events, and drop what only an unfinished pass needs."""
        assert self.face_tracker is not None
        self.events = [
            dataclasses.replace(
                event,
                frame=-event.frame,
                time=-event.time,
                reason=f"{event.reason}, on the way back",
            )
            for event in reversed(self.face_tracker.events)
        ]
        self.face_tracker = self.chunker = None


class BackwardPass:
    """Tracks the frames before the query frame, and yields them in the order of the video.

    Args:
        state: at the query frame, or that of a saved run.
        query: the query frame and its landmarks.
        reader: reads the video.
        assembler: assembles chunks.
        log: spools the tracks; holds those of a saved run.
        redetects: whether faces are detected while tracking.
        absent_id: face_id of frames without a face.
    """

    def __init__(
        self,
        state: BackwardState,
        query: Query,
        reader: SpanReader,
        assembler: ChunkAssembler,
        log: TrackLog,
        redetects: bool,
        absent_id: int,
    ) -> None:
        self.state = state
        self._query, self._reader, self._assembler, self._log = query, reader, assembler, log
        self._redetects, self._absent_id = redetects, absent_id

    def run(self, on_progress: Progress) -> int | None:
        """Track to the first frame, or as far back as a face may be.

        Args:
            on_progress: called after each step with the number of frames done and their total,
                both with the query frame.

        Returns:
            The number of face ids in use; None if the pass was complete already.
        """
        state = self.state
        face_tracker, chunker = state.face_tracker, state.chunker
        if face_tracker is None or chunker is None:
            return None
        for frame in itertools.chain(self._frames(chunker), [None]):
            clips = list(chunker.advance(frame))
            for clip in clips:
                self._spool(clip)
            if not clips:
                continue
            on_progress(state.num_tracked + 1, state.num_frames + 1)
            if not face_tracker.faces and not self._may_find(clips[-1].last):
                break
        state.complete()
        return face_tracker.known

    def emit(self, frames: Iterator[Frame]) -> Iterator[Chunk]:
        """Yield the chunks before the query frame that were not yielded yet.

        Args:
            frames: the video's frames that were not yielded yet; is advanced to the query frame.
        """
        state = self.state
        while state.num_emitted < state.num_without_face:
            frame = next(frames)
            count = min(frames_at_once(frame), state.num_without_face - state.num_emitted)
            batch = [frame, *itertools.islice(frames, count - 1)]
            state.num_emitted += len(batch)
            yield self._assembler.chunk(batch, [{} for _ in batch], self._absent_id)
        to_skip = state.num_emitted - state.num_without_face
        for tracks in reversed(self._log):
            if to_skip > 0:
                to_skip -= len(tracks)
                continue
            state.num_emitted += len(tracks)
            yield Chunk(list(itertools.islice(frames, len(tracks))), tracks)

    @property
    def last_emitted(self) -> int | None:
        """Index of the last frame that `emit` has yielded; None before the first."""
        count = self.state.num_emitted
        return self._reader.first + (count - 1) * self._reader.span.stride if count else None

    def _frames(self, chunker: Chunker) -> Iterator[Frame]:
        """Yield the reversed frames that the chunker still needs."""
        after = chunker.resume_after
        last = self._query.frame.index if after is None else -after - 1
        frames = self._reader.backwards(last) if last >= self._reader.first else ()
        return map(time_reversed, frames)

    def _may_find(self, frame: Frame) -> bool:
        """True if frames before the (reversed) frame may show a face that is detected."""
        # The search for the query frame has already found no face before `since`.
        return self._redetects and -frame.index > self._query.since

    def _spool(self, clip: Clip) -> None:
        """Spool a clip's tracks until the forward pass has begun."""
        frames = [time_reversed(frame) for frame in reversed(clip.new)]
        rows = clip.rows[::-1]
        if frames[-1].index == self._query.frame.index:
            # The forward pass tracks the query frame.
            del frames[-1], rows[-1]
        for chunk in reversed(list(self._assembler.chunks(frames, rows, self._absent_id))):
            self._log.add(chunk.tracks)
        self.state.num_tracked += len(frames)


def time_reversed(frame: Frame) -> Frame:
    """Negate index and time, so that a backward pass sees increasing values. Its own inverse."""
    return dataclasses.replace(frame, index=-frame.index, time=-frame.time)
