"""Hold the frames of a live source that wait for the tracker, and drop what cannot wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from facetrack.video.frame import Frame

MAX_WAITING = 3
"""Frames that wait at most. All that wait are tracked together, so that the row of a frame leaves
when at most two more have been taken."""
MAX_DELAY = 2
"""Frames that may arrive before the row of a frame leaves. After a row that was later, frames are
taken one by one, because a row of several waits for all of them."""
CALM_ROWS = 25
"""Rows in a row that leave before the next frame arrives, after which frames may wait again."""


class Waiting(NamedTuple):
    """A frame that waits.

    Attributes:
        frame: the frame.
        at: when it arrived, in seconds of `time.monotonic`.
        position: number of frames put so far, with this one.
    """

    frame: Frame
    at: float
    position: int


class LiveBuffer:
    """A short queue between the thread that decodes and the thread that tracks.

    Args:
        drops: True to drop frames while the tracker is too slow; False to let the source wait.
    """

    def __init__(self, drops: bool) -> None:
        self.drops = drops
        self._frames: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._ended = self._overflowed = False
        self._is_late, self._calm = False, 0

    def begin(self) -> None:
        """Begin: the frames so far are as if they came now.

        Of the frames so far, only the newest is kept if frames are dropped.
        """
        with self._changed:
            self._overflowed = False
            while self.drops and len(self._frames) > 1:
                self._frames.popleft()
            now = time.monotonic()
            self._frames = deque(item._replace(at=now) for item in self._frames)

    def put(self, item: Waiting) -> bool:
        """Add a frame; wait for room if no frame may be dropped. Return False after `end`."""
        with self._changed:
            while not self.drops and len(self._frames) >= MAX_WAITING and not self._ended:
                self._changed.wait()
            if self._ended:
                return False
            if len(self._frames) >= MAX_WAITING:
                self._frames.popleft()
                self._overflowed = True
            self._frames.append(item)
            self._changed.notify_all()
            return True

    @property
    def waiting(self) -> int:
        """Number of frames that wait."""
        return len(self._frames)

    def end(self) -> None:
        """Note that no more frames come, or that none are wanted."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def note_delay(self, frames: int) -> None:
        """Note how many frames arrived between a frame and its row."""
        self._calm = 0 if frames else self._calm + 1
        if frames > MAX_DELAY:
            self._is_late = True
        elif self._calm >= CALM_ROWS:
            self._is_late = False

    def take(self, timeout: float) -> list[Waiting] | None:
        """Return the frames that wait, [] if none came in time, and None after the last.

        Where frames had to be dropped, or a row was late, only the newest is returned: the tracker
        is slower than the source, and frames at even distances serve it better than two frames out
        of a sequence.
        """
        with self._changed:
            if not self._frames and not self._ended:
                self._changed.wait(timeout)
            frames = list(self._frames)
            self._frames.clear()
            self._changed.notify_all()
            if not frames:
                return None if self._ended else []
            if self._overflowed or (self.drops and self._is_late):
                frames = frames[-1:]
                self._overflowed = False
            return frames
