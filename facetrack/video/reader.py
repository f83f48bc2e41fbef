"""Read videos: every decoded frame once, upright, with its exact presentation time.

Frames are not resampled to a frame rate, and only a few frames are held in memory. A folder of
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
from facetrack.video.animations import is_animation
from facetrack.video.avif import FIRST_VIDEO, video_stream
from facetrack.video.decoder import FFmpegSource, first_frame
from facetrack.video.frame import Frame
from facetrack.video.image_names import IMAGE_SUFFIXES, is_series_path
from facetrack.video.image_source import ImageSource, first_readable, open_images

IMAGE_FPS = 25.0
"""Frames per second assumed for images that have no times of their own."""

_QUEUE_FRAMES = 3
"""Maximum number of frames decoded ahead."""
_QUEUE_BYTES = 256 * 2**20
"""Maximum size of these frames together; one frame may be larger."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, from its header and first frame.

    Attributes:
        path: the file, or the folder or series of images.
        width, height: size in pixels, as displayed (rotation applied).
        rotation: clockwise degrees that turn the stored frames upright.
        fps: average frame rate from the header, for information only, since every frame has its own
            time; None if unknown.
        start_time: start of the container's clock in seconds, as reported by ffmpeg, else the time
            of the first frame.
        has_audio: True if there is an audio track.
        audio_codec: ffmpeg's name of the audio codec, e.g. "aac"; None without audio.
        duration: duration of the longest stream in seconds, from the header; None if unknown.
        codec: ffmpeg's name of the video codec; "images" for image files.
        is_images: True for images that OpenCV reads: a folder, a series, a file.
        pixel_aspect: width / height of a pixel as displayed; frames are not rescaled.
        single_stream: True if the file has no streams except this video stream.
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
    single_stream: bool = True


def probe(path: str | Path, *, image_fps: float = IMAGE_FPS) -> VideoInfo:
    """Read the properties of a video file, an image or a folder of images from its first frame.

    Args:
        path: the file, folder, or path of a series (`facetrack.video.image_names`).
        image_fps: frames per second of images without times of their own.

    Raises:
        FacetrackError: `path` is missing, unreadable, not a video or without video frames, or its
            first frame cannot be decoded.
    """
    path = Path(path)
    if _is_images(path):
        return _probe_images(path, image_fps)
    try:
        stamp, header = first_frame(path)
    except FacetrackError:
        # Older versions of ffmpeg do not decode animated WebP.
        if is_animation(path) and path.suffix.lower() == ".webp":
            return _probe_images(path, image_fps)
        raise
    codec, details = header.video or ("unknown", "")
    return VideoInfo(
        path=path,
        width=stamp.size[0],
        height=stamp.size[1],
        rotation=header.rotation,
        # That of the first stream, which is a still image if another holds the frames.
        fps=_parse_rate(details) if video_stream(path) == FIRST_VIDEO else None,
        start_time=(stamp.time or 0.0) if header.start is None else header.start,
        has_audio=header.audio is not None,
        audio_codec=header.audio,
        duration=header.duration,
        codec=codec,
        is_images=False,
        pixel_aspect=stamp.pixel_aspect,
        single_stream=header.streams <= 1,
    )


def _probe_images(path: Path, image_fps: float) -> VideoInfo:
    images = open_images(path)
    height, width = first_readable(images).shape[:2]
    rate = None if images.times else Fraction(image_fps).limit_denominator(100_000)
    duration = images.times[-1] if images.times else float(len(images) / (rate or 1))
    return VideoInfo(
        path, width, height, 0, rate, 0.0, False, None, duration, images.codec, is_images=True
    )


class VideoReader:
    """Read frames `first` to `last` (0-based, both included) in order.

    Iteration yields `Frame(index, time, image, duration)` for every decoded frame; a background
    thread decodes a few frames ahead. Each `iter()` starts again at `first`. Breaking out of the
    loop, an exception or the end of the `with` block ends the ffmpeg process.

    The images of a folder are read in natural order of their names (img2 before img10); the time of
    an image is index / `image_fps`. See `facetrack.video.image_source`. If the frame size
    of a video changes, later frames are scaled to the size of the first frame.

    Args:
        path: video file, image, folder or series of images.
        first: index of the first frame to read.
        last: index of the last frame to read; None: the last frame of the video.
        image_fps: frames per second of images; that of `info` if given.
        info: result of `probe`, to avoid a second call.
        known_times: times of the first frames from an earlier reading (`FFmpegSource`).

    Attributes:
        info: the properties of the video.
        warnings: after the iteration, sentences about lost frames and estimated times, e.g. of a
            truncated file.

    Raises:
        FacetrackError: as `probe`, or, during iteration, if no requested frame can be decoded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        first: int = 0,
        last: int | None = None,
        image_fps: float = IMAGE_FPS,
        info: VideoInfo | None = None,
        known_times: array[float] | None = None,
    ) -> None:
        if first < 0 or (last is not None and last < first):
            raise ValueError(f"no frames from {first} to {last}")
        self.info = probe(path, image_fps=image_fps) if info is None else info
        self.warnings: list[str] = []
        self._first = first
        self._last = last
        self._known_times = known_times
        self._iteration: Generator[Frame, None, None] | None = None

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
        """End the current iteration, if any, and its ffmpeg process."""
        if self._iteration is not None:
            self._iteration.close()
            self._iteration = None

    def __iter__(self) -> Iterator[Frame]:
        self.close()
        self._iteration = self._frames()
        return self._iteration

    def _frames(self) -> Generator[Frame, None, None]:
        self.warnings = []
        source: FFmpegSource | ImageSource
        if self.info.is_images:
            size = (self.info.width, self.info.height)
            images = open_images(self.info.path)
            source = ImageSource(images, size, self._first, self.info.fps)
        else:
            source = FFmpegSource(self.info.path, self._first, self._known_times)
        prefetched = _Prefetcher(source, 3 * self.info.width * self.info.height)
        count = 0
        index = self._first - 1
        end = self.info.start_time
        steps: list[float] = []
        try:
            for frame in prefetched:
                count += 1
                index = frame.index
                frame = _clip_duration(self.info, frame)
                if frame.duration is None and count > 1:
                    steps = [*steps[-8:], frame.time - end]
                end = frame.time + (frame.duration or 0.0)
                yield frame
                if frame.index == self._last:
                    return
        finally:
            prefetched.stop()
            if isinstance(source, ImageSource):
                self.warnings = source.warnings(index)
        if count == 0:
            raise FacetrackError(self._explain_no_frames(source))
        end += 0.0 if frame.duration else max(steps, default=0.0)
        if isinstance(source, FFmpegSource):
            self.warnings = _loss_warnings(self.info, source, end)

    def _explain_no_frames(self, source: FFmpegSource | ImageSource) -> str:
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
    info: VideoInfo | None = None,
) -> Iterator[Frame]:
    """Yield frames `last`, `last` - 1, ..., 0, with the same indices and times as VideoReader.

    The frames held in memory take at most `budget_bytes` (but at least one frame is held). Segments
    of the video that fit are decoded in reverse order. The last segment is read from the start of
    the file; the others are found by seeking to the times read then.

    Args:
        path: as of VideoReader.
        last: index of the first frame to yield.
        budget_bytes: see above.
        image_fps: frames per second of images; that of `info` if given.
        info: result of `probe`, to avoid a second call.

    Raises:
        FacetrackError: as VideoReader, or the video has no frame `last`.
    """
    info = probe(path, image_fps=image_fps) if info is None else info
    length = max(1, budget_bytes // (info.width * info.height * 3))
    known_times = array("d")
    while last >= 0:
        first = max(0, last - length + 1)
        with VideoReader(
            path, first=first, last=last, info=info, known_times=known_times
        ) as reader:
            segment = list(reader)
        if segment[-1].index != last:
            raise FacetrackError(
                f"{info.path} has no frame {last}: it has {segment[-1].index + 1} frames."
            )
        while segment:
            yield segment.pop()
        last = first - 1


class _Prefetcher:
    """Decode in a background thread, a few frames ahead of the consumer."""

    def __init__(self, source: FFmpegSource | ImageSource, frame_bytes: int) -> None:
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


def _is_images(path: Path) -> bool:
    # Not Path.is_dir, which raises if the name is too long.
    if os.path.isdir(path) or is_series_path(path):
        return True
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_animation(path)


def _parse_rate(text: str) -> Fraction | None:
    """Parse the frame rate, with at most two decimals, from a stream's line of the header."""
    match = re.search(r", ([\d.]+)(k?) fps", text)
    if not match:
        return None
    rate = Fraction(match[1]) * (1000 if match[2] else 1)
    whole = round(rate)
    if rate != whole and abs(Fraction(whole * 1000, 1001) - rate) <= Fraction(1, 200):
        return Fraction(whole * 1000, 1001)
    return rate or None


def _clip_duration(info: VideoInfo, frame: Frame) -> Frame:
    """Return the frame with its duration clipped to the end of the video (of an edit list)."""
    if frame.duration is None or info.duration is None:
        return frame
    remaining = info.start_time + info.duration - frame.time
    # The header's duration is rounded to 10 ms, and estimated in some formats: ignore small excess.
    return replace(frame, duration=remaining) if 0 < 2 * remaining < frame.duration else frame


def _loss_warnings(info: VideoInfo, source: FFmpegSource, end: float) -> list[str]:
    """Return sentences about lost frames and estimated times after a complete reading."""
    warnings = []
    truncated = any(
        re.search(r"ended prematurely|Packet corrupt|corrupt input|partial file|Truncat", line)
        for line in source.problems
    )
    # The header's duration is that of the longest stream, which is the video if there is only one.
    # Some containers count it from zero rather than from their start, so use the smaller value.
    announced = None if info.duration is None else info.duration + min(info.start_time, 0.0)
    short = announced is not None and announced - end > 0.5
    if short and (truncated or info.single_stream):
        warnings.append(
            f"{info.path} is truncated or damaged: {source.count} frames up to {end:.2f} s could "
            f"be read, but its header announces {announced:.2f} s."
        )
    elif source.problem_count:
        first = ffmpeg.message(source.problems[0]).rstrip(".")
        times = "once" if source.problem_count == 1 else f"{source.problem_count} times, first"
        warnings.append(
            f"{info.path} is damaged: {source.count} frames could be read, but some may be missing "
            f"or corrupt (ffmpeg reported errors {times}: {first})."
        )
    if source.untimed:
        warnings.append(
            f"{source.untimed} frames of {info.path} have no timestamp; "
            "their times were extrapolated from the preceding frame."
        )
    return warnings


def time_decoding(frames: Iterable[Frame], seconds: dict[str, float]) -> Iterator[Frame]:
    """Yield the same frames; add the time spent on decoding to `seconds["decode"]`."""
    frames = iter(frames)
    while True:
        start = time.perf_counter()
        frame = next(frames, None)
        seconds["decode"] += time.perf_counter() - start
        if frame is None:
            return
        yield frame


VIDEO_NAME = re.compile(
    r".+\.(3gp|asf|avi|dv|flv|gif|m2ts|m4v|mjpeg|mkv|mov|mp4|mpeg|mpg|mts|mxf|nut|ogv|ts|vob|webm"
    r"|wmv|y4m)",
    re.IGNORECASE | re.DOTALL,
)
"""Pattern of video file names in folders and glob patterns; a file named explicitly may differ."""
