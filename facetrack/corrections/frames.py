"""Read frames of a video in any order, as a page and a tracker in both directions need them."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import IMAGE_FPS, VideoInfo, VideoReader, probe

CACHE_BYTES = 400 * 2**20
"""Bytes of frames that are kept in memory."""
BLOCK_FRAMES = 48
"""Frames that are decoded together for a tracker that runs backwards."""


class FrameStore:
    """The frames of tracks.

    A file is entered at the time of the wanted frame, which the tracks tell. Several threads may
    read at once.

    Args:
        video: video file, folder or series of images.
        tracks: the tracks, with the frames' times.
        image_fps: frames per second of images; None for the default.

    Raises:
        FacetrackError: the video cannot be read.
    """

    def __init__(self, video: Path, tracks: Tracks, image_fps: float | None = None) -> None:
        self.video = Path(video)
        self.info: VideoInfo = probe(self.video, image_fps=image_fps or IMAGE_FPS)
        size = (self.info.width, self.info.height)
        if min(tracks.size) > 0 and size != tracks.size:
            raise FacetrackError(
                f"{self.video} has frames of {size[0]}x{size[1]}, and the tracks are of frames of "
                f"{tracks.size[0]}x{tracks.size[1]}: they are not of this video."
            )
        # Only the times of all frames from the first on tell where to enter the file.
        whole = tracks.first_frame == 0 and tracks.stride == 1
        self._times = array("d", tracks.time.tolist() if whole else [])
        self.indices = tracks.frames
        self._known = frozenset(self.indices.tolist())
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._capacity = max(16, CACHE_BYTES // (3 * size[0] * size[1]))
        self._lock = threading.Lock()

    def frame(self, index: int) -> Frame:
        """Return one frame.

        Raises:
            FacetrackError: the tracks do not have it, or it cannot be read.
        """
        if index not in self._known:
            raise FacetrackError(f"Frame {index} is not among those tracked.")
        found = self._cached(index)
        if found is None:
            found = next(self._read(index, index))
        return found

    def run(self, index: int, direction: int) -> Iterator[Frame]:
        """Yield the tracked frames from one on.

        Args:
            index: the first frame to yield.
            direction: 1 for forwards, -1 for backwards.
        """
        position = int(np.searchsorted(self.indices, index))
        if direction > 0:
            yield from self._forwards(position)
        else:
            yield from self._backwards(position)

    def _forwards(self, position: int) -> Iterator[Frame]:
        count = len(self.indices)
        while position < count:
            found = self._cached(int(self.indices[position]))
            if found is not None:
                yield found
                position += 1
                continue
            for frame in self._read(int(self.indices[position]), int(self.indices[-1])):
                yield frame
                position += 1
            return

    def _backwards(self, position: int) -> Iterator[Frame]:
        length = min(BLOCK_FRAMES, self._capacity)
        while position >= 0:
            found = self._cached(int(self.indices[position]))
            if found is not None:
                yield found
                position -= 1
                continue
            start = max(0, position - length + 1)
            block = list(self._read(int(self.indices[start]), int(self.indices[position])))
            if not block or block[-1].index != self.indices[position]:
                raise FacetrackError(f"{self.video} has no frame {self.indices[position]}.")
            for frame in reversed(block):
                yield frame
                position -= 1

    def _read(self, first: int, last: int) -> Iterator[Frame]:
        """Decode the tracked frames from `first` to `last`, and keep them."""
        with VideoReader(
            self.video, first=first, last=last, info=self.info, known_times=self._times
        ) as reader:
            for frame in reader:
                if frame.index in self._known:
                    self._keep(frame)
                    yield frame

    def _cached(self, index: int) -> Frame | None:
        with self._lock:
            found = self._cache.get(index)
            if found is not None:
                self._cache.move_to_end(index)
            return found

    def _keep(self, frame: Frame) -> None:
        with self._lock:
            self._cache[frame.index] = frame
            self._cache.move_to_end(frame.index)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
