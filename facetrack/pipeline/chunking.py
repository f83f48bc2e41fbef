"""Cuts a video into stretches that a tracker takes at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facetrack.multiface.clip import Clip
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.video.frame import Frame

if TYPE_CHECKING:
    from facetrack.video.cuts import CutDetector

CHUNK = 8
"""Frames handed on at once to a causal tracker."""
CHUNK_BYTES = 2**28
"""Bytes that these frames may have together, if that is more than one frame: 8 of 4K are 200 MB."""
SEARCH_STRIDE = 5
"""Frames between two looks for a face where none is followed; those passed over are looked at when
one is found."""


def frames_at_once(frame: Frame) -> int:
    """How many frames such as this one are handed on at once to a causal tracker."""
    return min(CHUNK, max(1, CHUNK_BYTES // frame.image.nbytes))


def length_of(number: int, frame: Frame) -> int:
    """How many frames the stretch of that number, from 0, hands on to a causal tracker. The first
    is of one frame, for which somebody is waiting; the second makes up for it, as trackers keep to
    multiples of CHUNK."""
    many = frames_at_once(frame)
    return {0: 1, 1: max(1, many - 1)}.get(number, many)


class Chunker:
    """Small chunks, or overlapping stretches for a tracker that looks both ways. None goes over a
    cut, and they are short while no face is followed.

    Args:
        scene: who is followed; is told of cuts.
        cuts: finds them; None where they do not matter.
        window: of the tracker (`PointTracker.window`).

    Attributes:
        waiting: frames that the next stretch will begin with.
        done: how many of them have been answered already.
        fed: index of the last frame that was taken; None before the first.
        after: index after which frames are to be taken again by a copy that was pickled, which
            leaves pictures out.
    """

    def __init__(
        self, scene: MultiFaceTracker, cuts: CutDetector | None, window: tuple[int, int] | None
    ) -> None:
        self._scene, self._cuts, self._window = scene, cuts, window
        self.waiting: list[Frame] = []
        self.done = 0
        self.fed: int | None = None
        self.after: int | None = None
        self._new_shot = False
        self._handed_on = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "waiting": []}

    def advance(self, frame: Frame | None) -> Iterator[Clip]:
        """Take the next frame, or the end: step over the stretches that it completes, which are
        yielded once their rows are filled."""
        if frame is None:
            stretches = self._end()
        elif self.fed is not None and frame.index <= self.fed:
            self.waiting.append(frame)
            return
        else:
            stretches = self._feed(frame)
        for stretch in stretches:
            self._scene.advance(stretch)
            yield stretch
        if frame is not None:
            self.fed = frame.index
        self.after = self.waiting[0].index - 1 if self.waiting else self.fed

    def _feed(self, frame: Frame) -> Iterator[Clip]:
        """The stretches that a frame completes; each is to be stepped over before the next is asked
        for."""
        if self._cuts is not None and self._cuts.is_cut(frame.image):
            yield from self._end()
            self._scene.cut(frame)
            self._new_shot = True
        self.waiting.append(frame)
        if self._scene.searching:
            # The first frame of a shot is looked at at once.
            length, overlap = (1 if self._new_shot else SEARCH_STRIDE), 0
        else:
            length, overlap = self._window or (length_of(self._handed_on, frame), 0)
        if len(self.waiting) < length:
            return
        # What is near the end is left to the next stretch, which sees what follows.
        yield from self._upto(len(self.waiting) - overlap // 2)
        self._new_shot = False
        keep = min(overlap, len(self.waiting))
        self.waiting = self.waiting[len(self.waiting) - keep :]
        self.done = keep - keep // 2

    def _end(self) -> Iterator[Clip]:
        yield from self._upto(len(self.waiting))
        self.waiting, self.done = [], 0

    def _upto(self, upto: int) -> Iterator[Clip]:
        if upto > self.done:
            self._handed_on += 1
            yield Clip.of(self.waiting, self.done, upto)
