"""Read a live source: frames come once, in order, and are lost if nobody takes them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video.frame import Frame
from facetrack.video.live_buffer import LiveBuffer, Waiting
from facetrack.video.live_clock import LiveClock
from facetrack.video.live_decoder import Arrival, LiveDecoder
from facetrack.video.live_source import LiveSource
from facetrack.video.picture import Canvas
from facetrack.video.probe import VideoInfo, parse_header_rate

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before the attempts to connect again; the last holds for all further attempts."""
POLL_INTERVAL = 0.1
"""Seconds after which a consumer that waits for a frame can do something else."""
_OPENING = re.compile(r"Error opening input: (.+)")
_EARLY_END = 1.0
"""Seconds before its stated end at which a file on a web server counts as cut off."""


@dataclass(frozen=True)
class LiveOptions:
    """How to read a live source.

    Attributes:
        drop: drop frames while the tracker is slower than the source. None: where the source cannot
            wait, so not for pipes and files on web servers.
        retries: attempts to connect again after a connection has dropped.
        timeout: seconds without a frame after which a connection counts as dropped; twice as many
            for the first frame.
        stride: every Nth frame is used.
        max_seconds: seconds of the source after which the reader ends; None: no limit.
        max_frames: frames taken after which it ends; None: no limit.

    Raises:
        FacetrackError: a value is out of range.
    """

    drop: bool | None = None
    retries: int = 3
    timeout: float = 10.0
    stride: int = 1
    max_seconds: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise FacetrackError("--seconds is how long a live source is read: more than 0.")
        if self.max_frames is not None and self.max_frames < 1:
            raise FacetrackError("--max-frames is how many frames are tracked: at least 1.")
        if not self.timeout > 0:
            raise FacetrackError("--timeout is in seconds, and more than 0.")
        if self.retries < 0:
            raise FacetrackError("--retries is how often to connect again: 0 or more.")


class LiveReader:
    """Read a live source in a background thread; use as a context manager.

    The frames of a pipe or of a file on a web server wait until they are taken. The others are
    dropped while the consumer is too slow.

    Frames are numbered as they are taken, so their numbers have no gaps where frames were dropped.
    Their times are those of the source, from its first frame on.

    Attributes:
        source: the source.
        dropped: number of frames that came between two that were taken.
        reconnections: how often the source was connected again.
        is_lost: True if the source ended because its connection dropped for good.
        started_at: time of day at which the first taken frame arrived; None before.
    """

    def __init__(self, source: LiveSource, options: LiveOptions | None = None) -> None:
        self.source = source
        self._options = options or LiveOptions()
        self.dropped = self.reconnections = 0
        self.is_lost = False
        self.started_at: datetime | None = None
        self._interlaced = self._resized = self._hdr = False
        self._info: VideoInfo | None = None
        self._canvas = Canvas((1, 1), Fraction(1))
        self._clock = LiveClock(is_paced=True)
        self._buffer = LiveBuffer(drops=True)
        self._duration: float | None = None
        self._origin: float | None = None
        self._origin_at: float | None = None
        self._is_done = False
        self._count = self._kept = self._taken = self._last_position = 0
        self._end = 0.0
        self._arrived: dict[int, tuple[float, int]] = {}  # when, and which of those kept
        self._opened, self._closed = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._decoder = self._connect()
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)

    # ---------------------------------------------------------------- for the consumer

    def __enter__(self) -> LiveReader:
        """Connect, and wait for the first frame.

        Raises:
            FacetrackError: the source cannot be opened, or has no frames.
        """
        self._thread.start()
        try:
            while not self._opened.wait(POLL_INTERVAL):
                pass
            if self._error is not None:
                raise self._error
            if self._info is None:
                problems = self._decoder.problems()
                silent = 2 * self._options.timeout if self._decoder.went_silent else None
                raise FacetrackError(explain_no_frames(self.source, problems, silent))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._closed.set()
        self._decoder.kill()
        self._buffer.end()
        self._thread.join()

    def begin(self) -> None:
        """Begin to keep frames: those that came before are no longer wanted, unless they wait."""
        self._clock.forget_restarts()
        self._buffer.begin()

    def batches(self) -> Iterator[list[Frame]]:
        """Yield the frames that wait, at most three at once; [] while none comes."""
        while not self._is_done and (items := self._buffer.take(POLL_INTERVAL)) is not None:
            frames = []
            for item in items:
                if not self._is_in_range(item):
                    break
                frames.append(self._numbered(item))
            if frames or not self._is_done:
                yield frames
            self._is_done |= self._taken == self._options.max_frames or self._is_overdue
        if self._error is not None:
            raise self._error

    def delay(self, frame: Frame) -> tuple[float, int]:
        """Return seconds since a frame arrived, and how many frames have arrived since then.

        Call it when the frame's row has left: late rows make the reader drop more frames.
        """
        arrived_at, position = self._arrived.pop(frame.index)
        later = self._kept - position
        self._buffer.note_delay(later)
        return time.monotonic() - arrived_at, later

    @property
    def info(self) -> VideoInfo:
        """Properties of the source, from its first frame."""
        assert self._info is not None
        return self._info

    @property
    def received(self) -> int:
        """Number of frames that came since `begin`: those that were taken and those dropped."""
        return self._taken + self.dropped

    @property
    def drops(self) -> bool:
        """True if frames are dropped while the consumer is too slow."""
        return self._buffer.drops

    @property
    def deinterlaced(self) -> bool:
        """True if frames were deinterlaced."""
        return self._interlaced

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was lost or repaired so far."""
        name, sentences = self.source.shown, []
        if self.dropped:
            share = 100 * self.dropped / max(self.received, 1)
            sentences.append(
                f"{self.dropped} of {self.received} frames of {name} were dropped ({share:.0f} %), "
                "because tracking is slower than the source: rows have the times of their own "
                "frames."
            )
        if self.reconnections:
            times = "once" if self.reconnections == 1 else f"{self.reconnections} times"
            sentences.append(f"The connection to {name} dropped and was made again {times}.")
        if self.is_lost:
            sentences.append(f"The connection to {name} was lost; the files end there.")
        if self._clock.first_restart is not None:
            sentences.append(
                f"The clock of {name} did not continue near frame {self._clock.first_restart}: the "
                "times go on by the clock of this machine."
            )
        if self._interlaced:
            sentences.append(
                f"{name} is interlaced: each frame was made of its first field, so that moving "
                "edges are not torn."
            )
        if self._resized:
            sentences.append(
                f"The picture of {name} changes its size or shape: later frames are fitted into "
                f"{self.info.width}x{self.info.height} without distortion."
            )
        if self._hdr:
            sentences.append(
                f"The colours of {name} are HDR or BT.2020; those of live sources are not "
                "converted, and look pale."
            )
        return sentences

    @property
    def _is_overdue(self) -> bool:
        """True if a source that does not wait should have ended, e.g. while it is silent."""
        limit = self._options.max_seconds
        if limit is None or self._origin_at is None or not self.drops:
            return False
        return not self._buffer.waiting and time.monotonic() - self._origin_at > limit + 1

    def _is_in_range(self, item: Waiting) -> bool:
        """Return False, and note that the reader is done, if a frame comes after the end."""
        limit, origin = self._options.max_seconds, self._origin
        if limit is not None and origin is not None and item.frame.time - origin >= limit:
            self._is_done = True
        if self._taken == self._options.max_frames:
            self._is_done = True
        return not self._is_done

    def _numbered(self, item: Waiting) -> Frame:
        """Return the frame with the number and the time that its row gets."""
        frame = item.frame
        if self._origin is None:
            self._origin = frame.time
            self.started_at = datetime.now(timezone.utc)
            self._origin_at = item.at
            self._last_position = item.position - 1
        self.dropped += item.position - self._last_position - 1
        self._last_position = item.position
        index, self._taken = self._taken, self._taken + 1
        self._arrived[index] = item.at, item.position
        return Frame(index, frame.time - self._origin, frame.image, frame.duration)

    # ---------------------------------------------------------------- in the background

    def _connect(self) -> LiveDecoder:
        return LiveDecoder(self.source, None if self.source.is_pipe else self._options.timeout)

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # raised again in the consumer's thread
            self._error = error
        finally:
            self._buffer.end()
            self._opened.set()

    def _read(self) -> None:
        attempts = 0
        while True:
            had_frames = self._read_connection()
            if self._info is None or self._closed.is_set():
                return
            if self._duration is not None:
                self.is_lost = self._end < self._duration - _EARLY_END
                return
            attempts = 1 if had_frames else attempts + 1
            if attempts > self._options.retries or not self.source.can_reconnect:
                self.is_lost = self.source.can_reconnect
                return
            if self._closed.wait(PAUSES[min(attempts, len(PAUSES)) - 1]):
                return
            self._clock.reconnected()
            self._decoder = self._connect()
            if self._closed.is_set():
                self._decoder.kill()

    def _read_connection(self) -> bool:
        """Read one connection until it ends; return True if frames came."""
        again, had_frames = self._info is not None, False
        for arrival in self._decoder:
            if again and not had_frames:
                self.reconnections += 1
            had_frames = True
            if self._info is None:
                self._open(arrival)
            if not self._put(arrival):
                self._decoder.kill()
                break
        return had_frames

    def _open(self, arrival: Arrival) -> None:
        """Note the properties of the source from its first frame."""
        stamp, header = arrival.stamp, self._decoder.header
        codec, details = header.video or ("unknown", "")
        self._duration = header.duration if self.source.kind in ("http", "https") else None
        waits = self.source.is_pipe or self._duration is not None
        drops = not waits if self._options.drop is None else self._options.drop
        self._buffer = LiveBuffer(drops)
        self._clock = LiveClock(is_paced=not waits)
        self._canvas = Canvas(stamp.size, stamp.pixel_aspect)
        self._info = VideoInfo(
            path=Path(self.source.stem),
            width=stamp.size[0],
            height=stamp.size[1],
            rotation=header.rotation,
            fps=parse_header_rate(details),
            start_time=0.0,
            has_audio=False,
            audio_codec=None,
            duration=None,
            codec=codec,
            is_images=False,
            pixel_aspect=stamp.pixel_aspect,
        )
        self._opened.set()

    def _put(self, arrival: Arrival) -> bool:
        stamp, image = arrival.stamp, arrival.image
        self._hdr |= stamp.colour.hdr is not None or stamp.colour.is_wide
        index = self._count
        self._count = index + 1
        moment = self._clock.time(self._taken, arrival)
        self._end = moment + (stamp.duration or 0.0)
        if index % self._options.stride:
            return not self._closed.is_set()
        if stamp.interlaced:
            self._interlaced = True
            image = first_field(image, self.info.rotation)
        self._resized |= not self._canvas.fits(stamp.size, stamp.pixel_aspect)
        image = self._canvas.fit(image, stamp.pixel_aspect)
        self._kept += 1
        frame = Frame(index, moment, image, stamp.duration)
        return self._buffer.put(Waiting(frame, arrival.at, self._kept))


def explain_no_frames(source: LiveSource, problems: list[str], silent: float | None) -> str:
    """Return a sentence that says why a source has no frames.

    Args:
        source: the source.
        problems: ffmpeg's errors.
        silent: seconds for which nothing came; None if ffmpeg ended by itself.
    """
    name, text = source.shown, "\n".join(problems)
    if silent is not None:
        return f"{name} sent no frame within {silent:g} seconds."
    if "not on whitelist" in text and "Format" in text:
        return (
            f"{name} is a playlist, or in another format that is not read live: playlists lead to "
            "addresses that you did not type. Give the address of the stream itself."
        )
    if source.is_pipe and "moov atom not found" in text:
        return (
            f"{name} is an mp4 whose index is at its end, which a pipe cannot deliver: give the "
            "file itself, or send MPEG-TS or Matroska."
        )
    if "matches no streams" in text:
        return f"{name} holds no video stream."
    if "Invalid data found" in text:
        empty = "empty, or " if source.is_pipe else ""
        return f"{name} is {empty}not a video that ffmpeg can read."
    reasons = [_OPENING.match(problem) for problem in problems]
    reason = next((match[1] for match in reasons if match), problems[0] if problems else "")
    if not reason:
        return f"{name} is empty." if source.is_pipe else f"{name} has no frames."
    return f"{name} cannot be opened: {reason.rstrip('.')}."


def first_field(image: np.ndarray, rotation: int = 0) -> np.ndarray:
    """Return an image (H, W, 3) of which only the stored lines 0, 2, 4, ... are used.

    The lines between are interpolated. No other frame is needed, so that none has to wait.

    Args:
        image: (H, W, 3) uint8, upright.
        rotation: clockwise degrees that turned the stored lines upright.
    """
    quarters = round(rotation / 90)
    field = np.ascontiguousarray(np.rot90(image, quarters)[::2])
    height, width = image.shape[:2] if quarters % 2 == 0 else image.shape[1::-1]
    half = np.array([[1, 0, 0], [0, 0.5, 0]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    whole = cv2.warpAffine(
        field, half, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(np.rot90(whole, -quarters))
