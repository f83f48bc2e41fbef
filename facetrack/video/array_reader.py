"""Read frames that are in memory: an array, or the frames of an iterable."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.ops.image import as_rgb
from facetrack.video.frame import Frame
from facetrack.video.probe import IMAGE_FPS, VideoInfo
from facetrack.video.span import Span, SpanReader, check_rate

SHOWN = Path("the array")
"""What messages call frames that have no path."""


class ArrayReader(SpanReader):
    """Reads the frames of a span of an array as `SpanReader` reads those of a file.

    Args:
        frames: (T, H, W, 3) RGB or (T, H, W) grey uint8.
        span: the part to read.
        fps: frames a second; None for 25.

    Raises:
        FacetrackError: the array has another shape or type, or no frames.
    """

    def __init__(self, frames: np.ndarray, span: Span, fps: float | None = None) -> None:
        check_frames(frames)
        rate = IMAGE_FPS if fps is None else fps
        check_rate(rate, rate)
        self.video, self.span = SHOWN, span
        self.frames, self.rate = frames, rate
        self.info = frames_info(frames[0], rate, len(frames))
        self.warnings: list[str] = []
        self.deinterlaced = False
        self.option_warnings: list[str] = []

    def forwards(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames in order, or only those after frame `after`."""
        for index in self._indices:
            if after is None or index > after:
                yield self._read(index)

    def backwards(self, last: int) -> Iterator[Frame]:
        """Yield the frames in reverse order, from frame `last` of the span to the first."""
        for index in reversed(self._indices):
            if index <= last:
                yield self._read(index)

    def frame(self, index: int) -> Frame:
        """Return the frame with this index.

        Raises:
            FacetrackError: the frame is not in the span.
        """
        if index not in self._indices:
            raise FacetrackError(
                f"Frame {index} is not among those tracked, which are {self._shown_range}: choose "
                "another query_frame."
            )
        return self._read(index)

    @property
    def first(self) -> int:
        """Index of the first frame of the span.

        Raises:
            FacetrackError: the span has no frames.
        """
        start = max(0, int(np.ceil((self.span.start or 0) * self.rate - 1e-6)))
        if start >= self._stop:
            raise FacetrackError(
                f"{self.video} has no frame between start and end: its {len(self.frames)} frames "
                f"end at {len(self.frames) / self.rate:.3f} s."
            )
        return start

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self._indices)

    @property
    def _stop(self) -> int:
        end = self.span.end
        frames = len(self.frames)
        return frames if end is None else min(frames, int(np.ceil(end * self.rate - 1e-6)))

    @property
    def _indices(self) -> range:
        return range(self.first, self._stop, self.span.stride)

    @property
    def _shown_range(self) -> str:
        indices = self._indices
        step = f", every {indices.step}th" if indices.step > 1 else ""
        return f"{indices[0]} to {indices[-1]}{step}"

    def _read(self, index: int) -> Frame:
        image = as_rgb(np.asarray(self.frames[index]))
        return Frame(index, index / self.rate, image, 1 / self.rate)


class FrameStream:
    """Hands on the frames of an iterable, one at a time, as a live source that waits.

    Args:
        frames: (H, W, 3) RGB or (H, W) grey uint8 arrays of one size.
        fps: frames a second; None for 25.
        stride: every Nth frame is used.

    Raises:
        FacetrackError: there are no frames, or they are something else.
    """

    drops = False

    def __init__(
        self, frames: Iterable[np.ndarray], fps: float | None = None, stride: int = 1
    ) -> None:
        self._frames = islice(iter(frames), 0, None, stride)
        self._rate = (IMAGE_FPS if fps is None else fps) / stride
        first = list(islice(self._frames, 1))
        if not first:
            raise FacetrackError("There are no frames to track.")
        self._first = checked_frame(first[0])
        self.info = frames_info(self._first, self._rate, None)

    def batches(self) -> Iterator[list[Frame]]:
        """Yield each frame alone."""
        shape = self._first.shape[:2]
        yield [self._frame(0, self._first)]
        for index, image in enumerate(self._frames, 1):
            yield [self._frame(index, checked_frame(image, shape))]

    def _frame(self, index: int, image: np.ndarray) -> Frame:
        return Frame(index, index / self._rate, image, 1 / self._rate)


def frames_info(frame: np.ndarray, rate: float, count: int | None) -> VideoInfo:
    """Return the properties of frames in memory."""
    return VideoInfo(
        path=SHOWN,
        width=frame.shape[1],
        height=frame.shape[0],
        rotation=0,
        fps=Fraction(rate).limit_denominator(10**6),
        start_time=0.0,
        has_audio=False,
        audio_codec=None,
        duration=None if count is None else count / rate,
        codec="array",
        is_images=True,
    )


def check_frames(frames: np.ndarray) -> None:
    """Check that an array holds the frames of a video.

    Raises:
        FacetrackError: it does not.
    """
    shape, kind = frames.shape, frames.dtype
    if frames.ndim == 3 and shape[2] == 3:
        raise FacetrackError(
            f"This array of shape {shape} is one picture: a video is (T, H, W, 3). detect() takes "
            "pictures."
        )
    if not (frames.ndim == 3 or (frames.ndim == 4 and shape[3] == 3)):
        raise FacetrackError(
            f"A video is an array of shape (T, H, W, 3) or (T, H, W), not {shape}."
        )
    if kind != np.uint8:
        raise FacetrackError(f"The frames must be uint8 with values 0 to 255, not {kind}.")
    if not frames.size:
        raise FacetrackError(f"This array of shape {shape} holds no frames.")


def checked_frame(frame: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a frame of an iterable as (H, W, 3) uint8.

    Args:
        frame: what the iterable yielded.
        shape: (H, W) of the frames before; None for the first.

    Raises:
        FacetrackError: it is no frame, or of another size.
    """
    array = np.asarray(frame)
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    ):
        found = f"{array.shape} {array.dtype}" if array.ndim else type(frame).__name__
        raise FacetrackError(f"A frame is an array (H, W, 3) or (H, W) of uint8, not {found}.")
    if not array.size:
        raise FacetrackError(f"A frame of shape {array.shape} holds no pixels.")
    if shape is not None and array.shape[:2] != shape:
        raise FacetrackError(
            f"All frames must have the size of the first, {shape[1]} x {shape[0]} pixels, not "
            f"{array.shape[1]} x {array.shape[0]}."
        )
    return as_rgb(array)


def spool_frames(frames: Iterable[Any], folder: Path) -> np.ndarray:
    """Write the frames of an iterable to a temporary file; return them as an array on disk.

    Memory does not grow with the number of frames.

    Args:
        frames: (H, W, 3) RGB or (H, W) grey uint8 arrays of one size.
        folder: of the file, which the caller deletes.

    Returns:
        (T, H, W, 3) uint8, read from the file.

    Raises:
        FacetrackError: there are no frames, they are something else, or the disk is full.
    """
    shape: tuple[int, ...] | None = None
    count = 0
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            for frame in frames:
                image = checked_frame(frame, shape)
                shape = image.shape[:2]
                file.write(image.tobytes())
                count += 1
    except OSError as error:
        raise FacetrackError(
            f"The frames cannot be kept in {folder}: {error.strerror or error}; TMPDIR chooses "
            "another folder."
        ) from None
    if shape is None:
        raise FacetrackError("There are no frames to track.")
    return np.memmap(file.name, np.uint8, "r", shape=(count, *shape, 3))
