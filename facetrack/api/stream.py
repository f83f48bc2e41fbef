"""Track frame by frame: `facetrack.stream`, and its asynchronous form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.api.keywords import TrackKeywords, check_keywords
from facetrack.api.sources import open_chunks
from facetrack.callbacks import Progress
from facetrack.ops.equality import EqualByValue
from facetrack.tracks import Tracks
from facetrack.video.array_reader import spool_frames

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, eq=False)
class TrackedFrame(EqualByValue):
    """One frame and its landmarks.

    Attributes:
        index: 0-based number of the frame; of a live source, among the frames that were taken.
        time: presentation time in seconds.
        image: (H, W, 3) uint8 RGB.
        tracks: landmarks of the frame; T is 1.
    """

    index: int
    time: float
    image: np.ndarray
    tracks: Tracks

    def draw(self) -> np.ndarray:
        """Return the image (H, W, 3) with the landmarks drawn in."""
        return self.tracks.draw(self.image)


def stream(
    source: str | Path | int | np.ndarray | Iterable[np.ndarray],
    *,
    progress: Progress | None = None,
    **options: Unpack[TrackKeywords],
) -> Iterator[TrackedFrame]:
    """Track frame by frame: yield each frame with its landmarks, in order.

    A file and an array are tracked as by `facetrack.track`, with the same result: the frames before
    the query frame are tracked backwards first. A camera, an address and an iterable are tracked as
    their frames come, and the frames before the first face have no landmarks. Leaving the loop ends
    the run.

    Args:
        source: as of `facetrack.track`. An iterable is read one frame at a time, so it may be
            endless.
        progress: called with the number of frames done and their number (None if unknown).
        **options: see `facetrack.api.keywords.TrackKeywords`.

    Yields:
        The frames.

    Raises:
        FacetrackError: bad input, in one sentence.
        TypeError: an unknown keyword, or a value of another type.

    Example:
        >>> for frame in facetrack.stream(0, max_frames=100):  # doctest: +SKIP
        ...     print(frame.time, frame.tracks.xy[0, 0, 30])
    """
    check_keywords("stream", options, TrackKeywords)
    return _frames(source, options, progress)


def _frames(source: Any, keywords: Any, progress: Progress | None) -> Iterator[TrackedFrame]:
    with ExitStack() as stack:
        is_stream = not isinstance(source, str | Path | int | np.ndarray)
        is_users = is_stream or isinstance(source, np.ndarray)
        chunks = open_chunks(stack, source, keywords, stream=is_stream, progress=progress)
        for chunk in chunks:
            for row, frame in enumerate(chunk.frames):
                tracks = chunk.tracks.row(row)
                # What is drawn into it must not change the user's frames.
                image = frame.image.copy() if is_users else frame.image
                yield TrackedFrame(frame.index, frame.time, image, tracks)


# ---------------------------------------------------------------- asyncio


def track_async(
    source: Any, *, progress: Progress | None = None, **options: Unpack[TrackKeywords]
) -> Coroutine[Any, Any, Tracks]:
    """Track in a thread, as `facetrack.track`: `tracks = await facetrack.track_async("clip.mp4")`.

    Args:
        source: as of `facetrack.track`; also an asynchronous iterable of frames.
        progress: see `facetrack.track`; called in the thread.
        **options: see `facetrack.api.keywords.TrackKeywords`.

    Returns:
        A coroutine of the tracks. If it is cancelled, the run ends after its current frames.
    """
    check_keywords("track_async", options, TrackKeywords)
    return _collect(source, options, progress)


async def _collect(source: Any, keywords: Any, progress: Progress | None) -> Tracks:
    with ExitStack() as stack:
        if isinstance(source, AsyncIterable):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="facetrack-")))
            frames = _FramesOfLoop(source)
            stack.callback(frames.stop)
            source = await asyncio.to_thread(spool_frames, frames, folder)

        def parts() -> Iterator[Tracks]:
            with ExitStack() as inner:
                for chunk in open_chunks(inner, source, keywords, False, progress):
                    yield chunk.tracks

        return Tracks.concatenate([tracks async for tracks in _in_thread(parts())])


async def stream_async(
    source: Any, *, progress: Progress | None = None, **options: Unpack[TrackKeywords]
) -> AsyncIterator[TrackedFrame]:
    """Track frame by frame in a thread, as `facetrack.stream`.

    Args:
        source: as of `facetrack.stream`; also an asynchronous iterable of frames.
        progress: see `facetrack.stream`; called in the thread.
        **options: see `facetrack.api.keywords.TrackKeywords`.

    Yields:
        The frames.

    Example:
        >>> async for frame in facetrack.stream_async("clip.mp4"):  # doctest: +SKIP
        ...     await send(frame.tracks.xy)
    """
    check_keywords("stream_async", options, TrackKeywords)
    frames = _FramesOfLoop(source) if isinstance(source, AsyncIterable) else None
    try:
        async for frame in _in_thread(_frames(frames or source, options, progress)):
            yield frame
    finally:
        if frames is not None:
            frames.stop()


async def _in_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    """Yield the items of a generator that runs in one thread of its own."""
    loop, end = asyncio.get_running_loop(), object()
    thread = ThreadPoolExecutor(1, "facetrack")
    try:
        while (item := await loop.run_in_executor(thread, next, items, end)) is not end:
            yield item
    finally:
        # In its own thread, after the step that may still run there; the loop does not wait.
        thread.submit(items.close)  # type: ignore[attr-defined]
        thread.shutdown(wait=False)


class _FramesOfLoop:
    """The frames of an asynchronous iterable, for another thread than that of the event loop."""

    def __init__(self, frames: AsyncIterable[Any]) -> None:
        self._frames = aiter(frames)
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
        self._waits_for: Future[tuple[Any, bool]] | None = None

    def __iter__(self) -> Iterator[Any]:
        while not self._is_stopped:
            self._waits_for = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            frame, is_there = self._waits_for.result()
            if not is_there:
                return
            yield frame

    def stop(self) -> None:
        """Let a thread that waits for a frame go on, without one."""
        self._is_stopped = True
        if self._waits_for is not None:
            self._waits_for.cancel()

    async def _next(self) -> tuple[Any, bool]:
        try:
            return await anext(self._frames), True
        except StopAsyncIteration:
            return None, False
