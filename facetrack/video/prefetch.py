"""Decode frames in a background thread, a few frames ahead of the consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

from facetrack.video.frame import Frame

_QUEUE_FRAMES = 3
"""Maximum number of frames decoded ahead."""
_QUEUE_BYTES = 256 * 2**20
"""Maximum size of these frames together; one frame may be larger."""


class FrameSource(Protocol):
    """Frames that can be decoded in another thread."""

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames."""
        ...

    def kill(self) -> None:
        """End the iteration; called from another thread."""
        ...


class Prefetcher:
    """Decode in a background thread, a few frames ahead of the consumer."""

    def __init__(self, source: FrameSource, frame_bytes: int) -> None:
        self._source = source
        length = max(1, min(_QUEUE_FRAMES, _QUEUE_BYTES // frame_bytes))
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(length)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for frame in self._source:
                if not self._put(frame):
                    return
            self._put(None)
        except BaseException as error:  # raised again in the consumer's thread
            self._put(error)

    def _put(self, item: Frame | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Frame]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        self._stopped.set()
        self._source.kill()
        while self._thread.is_alive():
            # An empty queue unblocks a thread that waits in `put`.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(0.02)
