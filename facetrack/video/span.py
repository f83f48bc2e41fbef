"""Select a span of a video and read its frames."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.video.frame import Frame
from facetrack.video.reader import IMAGE_FPS, VideoInfo, VideoReader, probe, read_reversed

_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:/(\d+(?:\.\d*)?|\.\d+))?", re.ASCII)
MIN_IMAGE_FPS, MAX_IMAGE_FPS = 0.0001, 10_000
"""Range of --fps: from three images in eight hours to the shortest duration of the overlay."""
_TIME_TOLERANCE = 1e-6  # seconds; times are rounded fractions of the clock
MAX_STRIDE = 10**6


def parse_time(text: str) -> float:
    """Parse a time in seconds or clock notation, e.g. 90, 90.5, 1:30 or 1:02:03.5, to seconds.

    Raises:
        FacetrackError: the text is not a time.

    >>> parse_time("1:02:03.5")
    3723.5
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None or (match[2] is not None and float(match[3]) >= 60):
        raise FacetrackError(
            f"{text!r} is not a time: give seconds (90.5) or clock notation (1:30.5)."
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_rate(text: str) -> float:
    """Parse frames per second, e.g. 30, 29.97 or 30000/1001; 1/60 is one frame a minute.

    Raises:
        FacetrackError: the text is not a rate.
    """
    match = _RATE.fullmatch(text.strip())
    try:
        rate = float(match[1]) / float(match[2] or 1) if match else 0.0
    except ZeroDivisionError:
        rate = 0.0
    check_rate(rate, text)
    return rate


def check_rate(rate: float, shown: object) -> None:
    """Check that a rate of images lies in the range that videos can have.

    Raises:
        FacetrackError: it does not.
    """
    if not MIN_IMAGE_FPS <= rate <= MAX_IMAGE_FPS:
        raise FacetrackError(
            f"--fps is a number of images per second, such as 30, 29.97, 30000/1001 or 1/60, from "
            f"{MIN_IMAGE_FPS} to {MAX_IMAGE_FPS}, not {shown}."
        )


@dataclass(frozen=True)
class Span:
    """A part of a video.

    Attributes:
        start: time in seconds on the video's clock; the span begins with the first frame at or
            after it. None: the video's first frame.
        end: time in seconds; the span ends before the first frame at or after it. None: the
            video's end.
        stride: every Nth frame is used, starting at the first.

    Raises:
        FacetrackError: the stride, the start or the end is out of range.
    """

    start: float | None = None
    end: float | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= MAX_STRIDE:
            raise FacetrackError(
                "--stride N uses every Nth frame; N must be between 1 and 1,000,000."
            )
        if not all(math.isfinite(value or 0.0) for value in (self.start, self.end)):
            raise FacetrackError("The start and the end of a span are finite numbers of seconds.")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise FacetrackError("--end must be later than --start.")


class SpanReader:
    """Read the frames of a span; index and time of a frame refer to the whole video.

    Args:
        video: video file, image, folder or series of images.
        span: the part to read.
        image_fps: frames per second of images; None for the default.

    Attributes:
        info: properties of the video.
        warnings: sentences about lost frames, after `forwards` has reached the end of the video;
            those about images that cannot be read are there at once.
        deinterlaced: True if frames are deinterlaced; after `forwards`, also if only some were.
        option_warnings: sentences about options without effect.

    Raises:
        FacetrackError: the video cannot be read.
    """

    def __init__(self, video: Path, span: Span, image_fps: float | None = None) -> None:
        self.video, self.span = Path(video), span
        self.info: VideoInfo = probe(self.video, image_fps=image_fps or IMAGE_FPS)
        self.warnings: list[str] = []
        self.deinterlaced = self.info.is_deinterlaced
        self.option_warnings: list[str] = []
        if image_fps is not None and not (self.info.is_images and self.info.fps is not None):
            self.option_warnings.append(
                f"--fps has no effect on {self.video}, whose frames have their own times."
            )

    @cached_property
    def first(self) -> int:
        """Index of the first frame of the span.

        Raises:
            FacetrackError: the span has no frames.
        """
        start = self.span.start
        if start is None and self.span.end is None:
            return 0
        count = 0
        with VideoReader(self.video, info=self.info) as reader:
            for frame in reader:
                count += 1
                if start is None or frame.time >= start - _TIME_TOLERANCE:
                    if self._is_after_end(frame):
                        break
                    return frame.index
        where = "between --start and --end"
        if self.span.end is None:
            where = "from --start on"
        elif start is None:
            where = "up to --end"
        raise FacetrackError(
            f"{self.video} has no frame {where}: the last of the {count} frames read is at "
            f"{frame.time:.3f} s."
        )

    def forwards(self, after: int | None = None) -> Iterator[Frame]:
        """Yield the frames in order, or only those after frame `after`.

        Raises:
            FacetrackError: the video cannot be read.
        """
        first, stride = self.first, self.span.stride
        after = first - 1 if after is None else after
        # Start at frame `after` itself: a reader cannot start after the last frame.
        with VideoReader(self.video, first=max(first, after), info=self.info) as reader:
            for frame in reader:
                if self._is_after_end(frame):
                    break
                if frame.problem is not None:
                    self.warnings = list(reader.warnings)
                if frame.index > after and (frame.index - first) % stride == 0:
                    yield frame
        self.warnings = reader.warnings
        self.deinterlaced |= reader.deinterlaced

    def backwards(self, last: int) -> Iterator[Frame]:
        """Yield the frames in reverse order, from frame `last` of the span to the first."""
        for frame in read_reversed(self.video, last, info=self.info):
            if (frame.index - self.first) % self.span.stride == 0:
                yield frame
            if frame.index <= self.first:
                return

    def frame(self, index: int) -> Frame:
        """Return the frame with this index.

        Raises:
            FacetrackError: the frame is not in the span or not in the video.
        """
        first, stride = self.first, self.span.stride
        if index < first or (index - first) % stride:
            raise FacetrackError(
                f"Frame {index} is not among those tracked, which are {first}, {first + stride}, "
                "... by --start and --stride: choose another --query-frame."
            )
        with VideoReader(self.video, first=index, last=index, info=self.info) as reader:
            frame = next(iter(reader))
        if self._is_after_end(frame):
            raise FacetrackError(f"Frame {index} lies after --end: choose another --query-frame.")
        return frame

    @property
    def total(self) -> int | None:
        """Estimated number of frames from the header, for progress only; None if unknown."""
        if self.info.duration is None or self.info.fps is None:
            return None
        start, end = self.span.start or 0.0, self.info.start_time + self.info.duration
        end = end if self.span.end is None else min(end, self.span.end)
        length = max(0.0, end - max(start, self.info.start_time))
        return max(1, round(length * float(self.info.fps) / self.span.stride))

    def _is_after_end(self, frame: Frame) -> bool:
        return self.span.end is not None and frame.time >= self.span.end - _TIME_TOLERANCE
