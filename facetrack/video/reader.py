"""Video in: every decoded frame once, upright, with its true presentation time.

Nothing is resampled to a frame rate and nothing is held but a few frames read ahead. A folder of
images is read like a video.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from array import array
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.decoder import FFmpegSource, first_frame
from facetrack.video.frame import Frame
from facetrack.video.image_files import IMAGE_SUFFIXES, list_images, read_image

IMAGE_FPS = 25.0

_AHEAD = 3
_AHEAD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before it is read.

    Attributes:
        path: the file, or the folder of images.
        width, height: pixels, as displayed (rotation applied).
        rotation: clockwise degrees that were needed to turn the stored picture upright.
        fps: the header's average rate, for information only (times come with the frames); None
            where it does not say.
        start_time: start of the container's clock in seconds, as ffmpeg reports it (the first
            frame's time where it does not).
        has_audio: whether there is a sound track.
        alone: whether the file holds nothing but this video stream.
        audio_codec: ffmpeg's name of its codec, e.g. "aac".
        duration: seconds from the header, of the longest stream; None where it does not say.
        codec: ffmpeg's name of the video codec; "images" for a folder of images.
        is_images: whether the source is a folder of images or a single image.
        pixel_aspect: width / height of one pixel, as displayed; the frames are left as stored.
    """

    path: Path
    width: int
    height: int
    rotation: int
    fps: Fraction | None
    start_time: float
    has_audio: bool
    audio_codec: str | None
    duration: float | None
    codec: str
    is_images: bool
    pixel_aspect: Fraction = Fraction(1)
    alone: bool = True


def probe(path: str | Path, *, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """Look at a video file, an image or a folder of images; decodes its first frame.

    Raises FacetrackError, in one sentence, when `path` is missing, unreadable, not a video, has
    sound only, or when not even its first frame can be decoded.
    """
    path = Path(path)
    if _is_images(path):
        names = list_images(path)
        height, width = read_image(names[0]).shape[:2]
        rate = Fraction(image_fps).limit_denominator(100_000)
        return VideoInfo(
            path, width, height, 0, rate, 0.0, False, None, float(len(names) / rate), "images", True
        )
    stamp, header = first_frame(path)
    codec, rest = header.video or ("unknown", "")
    return VideoInfo(
        path=path,
        width=stamp.size[0],
        height=stamp.size[1],
        rotation=header.rotation,
        fps=_rate(rest),
        start_time=(stamp.time or 0.0) if header.start is None else header.start,
        has_audio=header.audio is not None,
        audio_codec=header.audio,
        duration=header.duration,
        codec=codec,
        is_images=False,
        pixel_aspect=stamp.pixel_aspect,
        alone=header.streams <= 1,
    )


class VideoReader:
    """Reads frames `first` to `last` (both included, 0-based; None: to the end) in order.

    Iterating yields `Frame(index, time, image, duration)`, one for every decoded frame; decoding
    goes on in the background, a few frames ahead. Each `iter()` starts anew. Breaking off, an
    exception, or leaving the `with` block ends the ffmpeg process.

    In a folder of images (natural order of names: img2 before img10) all must have the size of the
    first, else FacetrackError; the time is index / `image_fps`. A video whose picture size changes
    midway is scaled to the size of its first frame.

    Attributes:
        info: the VideoInfo.
        warnings: after iteration, sentences about what was lost or guessed, e.g. in a truncated
            file.

    Raises FacetrackError (constructor) as `probe` does, and (iteration) when no frame of the
    range could be decoded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        first: int = 0,
        last: int | None = None,
        image_fps: float = IMAGE_FPS,
        info: VideoInfo | None = None,
        known: array[float] | None = None,
    ) -> None:
        if first < 0 or (last is not None and last < first):
            raise ValueError(f"no frames from {first} to {last}")
        self.info = probe(path, image_fps=image_fps) if info is None else info
        self.warnings: list[str] = []
        self._first = first
        self._last = last
        self._image_fps = image_fps
        self._known = known
        self._running: Generator[Frame, None, None] | None = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration in progress, if any, and its ffmpeg process."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def __iter__(self) -> Iterator[Frame]:
        self.close()
        self._running = self._frames()
        return self._running

    def _frames(self) -> Generator[Frame, None, None]:
        self.warnings = []
        source: FFmpegSource | _ImageSource
        if self.info.is_images:
            source = _ImageSource(self.info, self._first, self._image_fps)
        else:
            source = FFmpegSource(self.info.path, self._first, self._known)
        ahead = _ReadAhead(source, 3 * self.info.width * self.info.height)
        read = 0
        end = self.info.start_time
        steps: list[float] = []
        try:
            for frame in ahead:
                read += 1
                frame = _within(self.info, frame)
                if frame.duration is None and read > 1:
                    steps = [*steps[-8:], frame.time - end]
                end = frame.time + (frame.duration or 0.0)
                yield frame
                if frame.index == self._last:
                    return
        finally:
            ahead.stop()
        if read == 0:
            raise FacetrackError(self._nothing_read(source))
        end += 0.0 if frame.duration else max(steps, default=0.0)
        if isinstance(source, FFmpegSource):
            self.warnings = _losses(self.info, source, end)

    def _nothing_read(self, source: FFmpegSource | _ImageSource) -> str:
        if source.count:
            return f"{self.info.path} has no frame {self._first}: it has {source.count} frames."
        if isinstance(source, FFmpegSource):
            return ffmpeg.explain(self.info.path, source.problems)
        return f"{self.info.path} has no images."


def read_reversed(
    path: str | Path,
    last: int,
    *,
    budget_bytes: int = 256 * 2**20,
    image_fps: float = IMAGE_FPS,
) -> Iterator[Frame]:
    """Yield frames `last`, `last` - 1, ..., 0, with the indices and times VideoReader gives them.

    Memory is bounded by `budget_bytes` of frames (at least one): stretches of the video that fit
    are decoded one after the other, the last one first. That one is read from the start of the
    file; the others are sought by the times that their frames had then.
    Raises FacetrackError as VideoReader does, also when the video has no frame `last`.
    """
    info = probe(path, image_fps=image_fps)
    length = max(1, budget_bytes // (info.width * info.height * 3))
    known = array("d")
    while last >= 0:
        first = max(0, last - length + 1)
        with VideoReader(
            path, first=first, last=last, image_fps=image_fps, info=info, known=known
        ) as reader:
            stretch = list(reader)
        if stretch[-1].index != last:
            raise FacetrackError(
                f"{info.path} has no frame {last}: it has {stretch[-1].index + 1} frames."
            )
        while stretch:
            yield stretch.pop()
        last = first - 1


class _ReadAhead:
    """Runs a source in a thread, a few frames ahead of the consumer."""

    def __init__(self, source: FFmpegSource | _ImageSource, frame_bytes: int) -> None:
        self._source = source
        ahead = max(1, min(_AHEAD, _AHEAD_BYTES // frame_bytes))
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for frame in self._source:
                if not self._put(frame):
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, whatever it is
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
            # An emptied queue frees a thread that waits to put.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(0.02)


class _ImageSource:
    """Iterates over the images of a folder."""

    def __init__(self, info: VideoInfo, first: int, fps: float) -> None:
        self._info = info
        self._first = first
        self._fps = fps
        self._killed = threading.Event()
        self.count = 0

    def kill(self) -> None:
        self._killed.set()

    def __iter__(self) -> Iterator[Frame]:
        names = list_images(self._info.path)
        self.count = len(names)
        wanted = (self._info.width, self._info.height)
        for index in range(self._first, len(names)):
            if self._killed.is_set():
                return
            image = read_image(names[index])
            size = (image.shape[1], image.shape[0])
            if size != wanted:
                raise FacetrackError(
                    f"all images of a folder must have one size: {names[index]} is "
                    f"{size[0]}x{size[1]}, {names[0].name} is {wanted[0]}x{wanted[1]}."
                )
            yield Frame(index, index / self._fps, image, 1 / self._fps)


def _is_images(path: Path) -> bool:
    # Not Path.is_dir, which raises where the name is too long.
    return os.path.isdir(path) or path.suffix.lower() in IMAGE_SUFFIXES


def _rate(text: str) -> Fraction | None:
    """Frame rate from a stream's line of the header, where it has two decimals at most."""
    found = re.search(r", ([\d.]+)(k?) fps", text)
    if not found:
        return None
    rate = Fraction(found[1]) * (1000 if found[2] else 1)
    whole = round(rate)
    if rate != whole and abs(Fraction(whole * 1000, 1001) - rate) <= Fraction(1, 200):
        return Fraction(whole * 1000, 1001)
    return rate or None


def _within(info: VideoInfo, frame: Frame) -> Frame:
    """The frame; where an edit list ends the video within it, its duration ends there too."""
    if frame.duration is None or info.duration is None:
        return frame
    left = info.start_time + info.duration - frame.time
    # The header is rounded to 10 ms and guessed in some formats: a small excess says nothing.
    return replace(frame, duration=left) if 0 < 2 * left < frame.duration else frame


def _losses(info: VideoInfo, source: FFmpegSource, end: float) -> list[str]:
    """Sentences about what a whole reading of the file lost or had to guess."""
    losses = []
    cut_off = any(
        re.search(r"ended prematurely|Packet corrupt|corrupt input|partial file|Truncat", line)
        for line in source.problems
    )
    # The header's duration is that of the longest stream: of one alone, the video's. Some
    # containers count it from zero, not from their start; the lesser claim is held against them.
    promised = None if info.duration is None else info.duration + min(info.start_time, 0.0)
    short = promised is not None and promised - end > 0.5
    if short and (cut_off or info.alone):
        losses.append(
            f"{info.path} is cut off or damaged: {source.count} frames up to {end:.2f} s could be "
            f"read of the {promised:.2f} s that its header promises."
        )
    elif source.problem_count:
        first = ffmpeg.message(source.problems[0]).rstrip(".")
        times = "once" if source.problem_count == 1 else f"{source.problem_count} times, first"
        losses.append(
            f"{info.path} is damaged: {source.count} frames could be read, some may be missing or "
            f"spoilt (ffmpeg complained {times}: {first})."
        )
    if source.without_time:
        losses.append(
            f"{source.without_time} frames of {info.path} have no timestamp; "
            "theirs was extrapolated from the frame before."
        )
    return losses


def time_decoding(frames: Iterable[Frame], seconds: dict[str, float]) -> Iterator[Frame]:
    """The same frames; the time they take is added to `seconds["decode"]`."""
    frames = iter(frames)
    while True:
        began = time.perf_counter()
        frame = next(frames, None)
        seconds["decode"] += time.perf_counter() - began
        if frame is None:
            return
        yield frame


VIDEO_NAME = re.compile(
    r".+\.(3gp|asf|avi|dv|flv|gif|m2ts|m4v|mjpeg|mkv|mov|mp4|mpeg|mpg|mts|mxf|nut|ogv|ts|vob|webm"
    r"|wmv|y4m)",
    re.IGNORECASE | re.DOTALL,
)
"""What counts as a video in a folder or a pattern; a file that is named need not end so."""
