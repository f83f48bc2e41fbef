"""Group frames into the clips that a point tracker steps through at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facetrack.multiface.clip import Clip
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.trackers.windowing import OverlapBuffer
from facetrack.video.frame import Frame

if TYPE_CHECKING:
    from facetrack.video.cuts import CutDetector

CHUNK_FRAMES = 8
"""Frames per step of a causal tracker."""
MAX_CHUNK_BYTES = 2**28
"""Bytes that the frames of one step may have together; a single frame may have more. Eight frames
of 4K video have 200 MB."""
SEARCH_STRIDE = 5
"""Frames between two face detections while no face is followed. Once a face is found, the frames
in between are searched too."""


def frames_at_once(frame: Frame) -> int:
    """Return how many frames of this size a causal tracker steps through at once."""
    return min(CHUNK_FRAMES, max(1, MAX_CHUNK_BYTES // frame.image.nbytes))


def clip_length(number: int, frame: Frame) -> int:
    """Return the number of frames of a causal tracker's clip.

    The first clip has a single frame, because a user is waiting for it. The second is shorter by
    one frame, so that later clips start at multiples of CHUNK_FRAMES.

    Args:
        number: index of the clip, from 0.
        frame: any frame of the clip; tells the frame size.
    """
    most = frames_at_once(frame)
    return {0: 1, 1: max(1, most - 1)}.get(number, most)


class Chunker:
    """Groups frames into clips and steps a face tracker through them.

    Causal trackers get short clips; trackers that also use later frames get overlapping ones. No
    clip crosses a cut, and clips are short while no face is followed.

    Args:
        face_tracker: steps through the clips; is notified of cuts.
        cuts: detects cuts; None to ignore them.
        window: the tracker's `PointTracker.window`.

    Attributes:
        buffer: frames of the next clip.
        last_index: index of the last frame that was added; None before the first.
        resume_after: index of the frame after which a pickled copy must be fed again, because
            pickling drops images; None to feed all frames.
    """

    def __init__(
        self,
        face_tracker: MultiFaceTracker,
        cuts: CutDetector | None,
        window: tuple[int, int] | None,
    ) -> None:
        self._face_tracker, self._cuts, self._window = face_tracker, cuts, window
        self.buffer: OverlapBuffer[Frame] = OverlapBuffer()
        self.last_index: int | None = None
        self.resume_after: int | None = None
        self._new_shot = False
        self._num_clips = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "buffer": OverlapBuffer(num_done=self.buffer.num_done)}

    def advance(self, frame: Frame | None) -> Iterator[Clip]:
        """Add the next frame, and yield the clips it completes with their rows filled.

        Args:
            frame: None at the end of the video.
        """
        if frame is None:
            clips = self._flush()
        elif self.last_index is not None and frame.index <= self.last_index:
            # A frame that waited for its clip when the state was saved.
            self.buffer.append(frame)
            return
        else:
            clips = self._add(frame)
        for clip in clips:
            self._face_tracker.advance(clip)
            yield clip
        if frame is not None:
            self.last_index = frame.index
        waiting = self.buffer.items
        self.resume_after = waiting[0].index - 1 if waiting else self.last_index

    def _add(self, frame: Frame) -> Iterator[Clip]:
        """Yield the clips that a frame completes; step through each before asking for the next."""
        if self._cuts is not None and self._cuts.is_cut(frame.image):
            yield from self._flush()
            self._face_tracker.cut(frame)
            self._new_shot = True
        self.buffer.append(frame)
        if self._face_tracker.searching:
            # The first frame of a shot is searched at once.
            length, overlap = (1 if self._new_shot else SEARCH_STRIDE), 0
        else:
            length, overlap = self._window or (clip_length(self._num_clips, frame), 0)
        if len(self.buffer.items) < length:
            return
        yield from self._cut_clip(overlap)
        self._new_shot = False

    def _flush(self) -> Iterator[Clip]:
        """Yield the frames that wait, if any of them is new."""
        yield from self._cut_clip(overlap=0)

    def _cut_clip(self, overlap: int) -> Iterator[Clip]:
        window = self.buffer.cut(overlap)
        if window is not None:
            self._num_clips += 1
            yield Clip.of(window.items, window.new.start, window.new.stop)
