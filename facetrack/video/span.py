"""Which frames of a video a run is about, and reading just those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo, VideoReader, probe, read_reversed

_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_NEARLY = 1e-6  # seconds; times come from fractions of clocks
MOST_STRIDE = 10**6


def seconds_of(text: str) -> float:
    """Seconds of a time as people write it: 90, 90.5, 1:30, 1:02:03.5.

    Raises:
        FacetrackError: it is none.

    >>> seconds_of("1:02:03.5")
    3723.5
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None or (found[2] is not None and float(found[3]) >= 60):
        raise FacetrackError(f"{text!r} is no time: give seconds (90.5) or a clock's (1:30.5).")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


@dataclass(frozen=True)
class Span:
    """A part of a video.

    Attributes:
        start: seconds on the video's clock; its first frame is the first at or after it. None:
            the video's first.
        end: seconds; frames from there on are left out.
        stride: every so-manieth frame from the first on.
    """

    start: float | None = None
    end: float | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= MOST_STRIDE:
            raise FacetrackError(
                "--stride is 1 for every frame, 2 for every second, and so on up to a million."
            )
        if self.end is not None and self.end <= (self.start or 0.0):
            raise FacetrackError("--end must be later than --start.")


class SpanReader:
    """Reads the frames of a span; their index and time are those in the whole video.

    Attributes:
        info: what is known of the video.
        warnings: sentences about what was lost, once `forwards` has come to the video's end.
    """

    def __init__(self, video: Path, span: Span) -> None:
        """
        Raises:
            FacetrackError: the video cannot be read.
        """
        self.video, self.span = Path(video), span
        self.info: VideoInfo = probe(self.video)
        self.warnings: list[str] = []

    @cached_property
    def first(self) -> int:
        """Index of the first frame.

        Raises:
            FacetrackError: the span has none.
        """
        start = self.span.start
        if start is None and self.span.end is None:
            return 0
        seen = 0
        with VideoReader(self.video, info=self.info) as reader:
            for frame in reader:
                seen += 1
                if start is None or frame.time >= start - _NEARLY:
                    if self._over(frame):
                        break
                    return frame.index
        raise FacetrackError(
            f"{self.video} has no frame between --start and --end: its {seen} frames seen end at "
            f"{frame.time:.3f} s."
        )

    def forwards(self, after: int | None = None) -> Iterator[Frame]:
        """The frames in order, or those after frame `after`.

        Raises:
            FacetrackError: the video cannot be read.
        """
        first, stride = self.first, self.span.stride
        after = first - 1 if after is None else after
        # From frame `after` itself on: no reader begins behind the last frame.
        with VideoReader(self.video, first=max(first, after), info=self.info) as reader:
            for frame in reader:
                if self._over(frame):
                    break
                if frame.index > after and (frame.index - first) % stride == 0:
                    yield frame
            self.warnings = reader.warnings

    def backwards(self, last: int) -> Iterator[Frame]:
        """The frames from `last`, one of them, back to the first."""
        for frame in read_reversed(self.video, last):
            if (frame.index - self.first) % self.span.stride == 0:
                yield frame
            if frame.index <= self.first:
                return

    def frame(self, index: int) -> Frame:
        """One frame.

        Raises:
            FacetrackError: it is not of the span, or the video has no such frame.
        """
        first, stride = self.first, self.span.stride
        if index < first or (index - first) % stride:
            raise FacetrackError(
                f"Frame {index} is not among those tracked, which are {first}, {first + stride}, "
                "... by --start and --stride: choose another --query-frame."
            )
        with VideoReader(self.video, first=index, last=index, info=self.info) as reader:
            frame = next(iter(reader))
        if self._over(frame):
            raise FacetrackError(f"Frame {index} lies after --end: choose another --query-frame.")
        return frame

    @property
    def total(self) -> int | None:
        """About how many frames there are, from the header; for progress only."""
        if self.info.duration is None or self.info.fps is None:
            return None
        start, end = self.span.start or 0.0, self.info.start_time + self.info.duration
        end = end if self.span.end is None else min(end, self.span.end)
        length = max(0.0, end - max(start, self.info.start_time))
        return max(1, round(length * float(self.info.fps) / self.span.stride))

    def _over(self, frame: Frame) -> bool:
        return self.span.end is not None and frame.time >= self.span.end - _NEARLY
