"""Encode the frames that a page shows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import closing

import cv2
import numpy as np

from facetrack.api.editing import EditSession
from facetrack.errors import FacetrackError

QUALITY = 92
"""JPEG quality: at 92 no edge of an eye moves visibly."""
CACHE_BYTES = 64 * 2**20
"""Bytes of encoded pictures that are kept."""
NEAR_FRAMES = 48
"""Frames up to which it is faster to decode on than to enter the file anew."""


class Pictures:
    """Pictures of a session's frames; pages may ask from several threads.

    Args:
        session: the frames' session.
    """

    def __init__(self, session: EditSession) -> None:
        self._session = session
        self._indices = session.frames
        self._lock = threading.Lock()
        self._encoded: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._ahead: Generator[tuple[int, np.ndarray], None, None] | None = None
        self._next_row = self._last_row = 0

    def jpeg(self, frame: int, width: int) -> bytes:
        """Return a frame as JPEG.

        Args:
            frame: its index in the video.
            width: of the picture, at least; one that is wider than the frame means the frame's.

        Raises:
            FacetrackError: the frame is not among those tracked, or cannot be read.
        """
        row = int(np.searchsorted(self._indices, min(frame, 2**62)))
        if row >= len(self._indices) or self._indices[row] != frame:
            raise FacetrackError(f"Frame {frame} is not among those tracked.")
        step = self._step(width)
        with self._lock:
            found = self._encoded.get((row, step))
            if found is None:
                found = _encode(self._image(row), step)
                self._keep((row, step), found)
            self._encoded.move_to_end((row, step))
            self._last_row = row
        return found

    def close(self) -> None:
        """End decoding."""
        with self._lock:
            self._stop()

    def _step(self, width: int) -> int:
        """Return by how much a frame is divided: 1, 2 or 4, so that sizes are few."""
        full = self._session.size[0]
        return next((step for step in (4, 2) if width > 0 and full // step >= width), 1)

    def _image(self, row: int) -> np.ndarray:
        if self._ahead is None or not 0 <= row - self._next_row < NEAR_FRAMES:
            self._stop()
            if 0 < self._last_row - row < NEAR_FRAMES:
                # A step back: the block before this frame is decoded with it, and kept.
                with closing(self._session.images(int(self._indices[row]), -1)) as images:
                    return next(images)[1]
            self._ahead = self._session.images(int(self._indices[row]), 1)
            self._next_row = row
        while True:
            try:
                index, image = next(self._ahead)
            except StopIteration:
                self._stop()
                return self._session.image(int(self._indices[row]))
            self._next_row += 1
            if index == self._indices[row]:
                return image

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None

    def _keep(self, key: tuple[int, int], data: bytes) -> None:
        self._encoded[key] = data
        self._bytes += len(data)
        while self._bytes > CACHE_BYTES and len(self._encoded) > 1:
            _, dropped = self._encoded.popitem(last=False)
            self._bytes -= len(dropped)


def _encode(image: np.ndarray, step: int) -> bytes:
    if step > 1:
        size = image.shape[1] // step, image.shape[0] // step
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise FacetrackError("A frame cannot be encoded as JPEG.")
    return data.tobytes()
