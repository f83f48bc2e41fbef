"""Read videos: every decoded frame once, upright, with its exact presentation time.

Frames are not resampled to a frame rate, and only a few frames are held in memory. A folder of
images is read like a video.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.changes import time_warnings
from facetrack.video.decoder import FFmpegSource
from facetrack.video.frame import Frame
from facetrack.video.image_source import ImageSource, open_images
from facetrack.video.losses import clip_duration, loss_warnings
from facetrack.video.prefetch import Prefetcher
from facetrack.video.probe import IMAGE_FPS, VideoInfo, colour_warnings, probe


class VideoReader:
    """Read frames `first` to `last` (0-based, both included) in order.

    Iteration yields `Frame(index, time, image, duration)` for every decoded frame; a background
    thread decodes a few frames ahead. Each `iter()` starts again at `first`. Breaking out of the
    loop, an exception or the end of the `with` block ends the ffmpeg process.

    The images of a folder are read in natural order of their names (img2 before img10); the time of
    an image is index / `image_fps`. See `facetrack.video.image_source`.

    If the size, the turn or the pixel aspect of a video changes, later frames are fitted into the
    first frame without distortion. HDR and BT.2020 colours become BT.709, interlaced frames are
    deinterlaced (`facetrack.video.colour`, `picture`), and times that do not rise are repaired
    (`timeline`).

    Args:
        path: video file, image, folder or series of images.
        first: index of the first frame to read.
        last: index of the last frame to read; None: the last frame of the video.
        image_fps: frames per second of images; that of `info` if given.
        info: result of `probe`, to avoid a second call.
        known_times: times of the first frames from an earlier reading (`FFmpegSource`).

    Attributes:
        info: the properties of the video.
        warnings: after the iteration, sentences about what changes within the frames read, about
            repaired times and, at the end of the video, about lost frames, e.g. of a truncated
            file.
        deinterlaced: after the iteration, True if frames were deinterlaced.

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
        self.deinterlaced = False
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
            step = float(1 / self.info.fps) if self.info.fps else None
            source = FFmpegSource(
                self.info.path,
                self._first,
                self._known_times,
                self.info.picture,
                step,
                self.info.unread_start,
            )
        prefetched = Prefetcher(source, 3 * self.info.width * self.info.height)
        count = 0
        index = self._first - 1
        end = self.info.start_time
        steps: list[float] = []
        try:
            for frame in prefetched:
                count += 1
                index = frame.index
                frame = clip_duration(self.info, frame)
                if frame.duration is None and count > 1:
                    steps = [*steps[-8:], frame.time - end]
                end = frame.time + (frame.duration or 0.0)
                if frame.problem is not None and isinstance(source, ImageSource):
                    self.warnings = source.warnings(index)
                yield frame
                if frame.index == self._last:
                    return
        finally:
            prefetched.stop()
            if isinstance(source, ImageSource):
                self.warnings = source.warnings(index)
            elif isinstance(source, FFmpegSource):
                self.warnings = colour_warnings(self.info)
                self.warnings += source.changes.warnings(self.info.path, index)
                self.warnings += time_warnings(self.info, source.timeline, source.start, index)
                self.deinterlaced = source.changes.is_deinterlaced(index)
        if count == 0:
            raise FacetrackError(self._explain_no_frames(source))
        end += 0.0 if frame.duration else max(steps, default=0.0)
        if isinstance(source, FFmpegSource):
            self.warnings += loss_warnings(self.info, source, end)

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
        info: result of `probe`, to avoid a second call.

    Raises:
        FacetrackError: as VideoReader, or the video has no frame `last`.
    """
    info = probe(path) if info is None else info
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
