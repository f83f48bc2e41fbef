"""Encode H.264 video in mp4 with the source's frame times and sound."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from fractions import Fraction
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from facetrack.errors import FacetrackError, OutputError
from facetrack.files import atomic_path
from facetrack.video import ffmpeg
from facetrack.video.clock import CONTINUOUS_SOUND, clock_restarts
from facetrack.video.matroska import CLOCK, MatroskaWriter

TIME_BASE = 120_000
"""Ticks per second of the mp4. Frame intervals at 24, 25, 30, 50 and 60 frames/s, at 1000/1001 of
these rates and in milliseconds are whole numbers of ticks; other times are off by at most 5 us."""

# Audio codecs that players expect in an mp4; other sound is converted to AAC.
COPIED_AUDIO = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}

# Seconds. A clock that starts later (part of a broadcast) is shifted to zero, because the mp4 would
# start with an empty period of that length.
MAX_START_TIME = 60.0

_FALLBACK_STEP = 1 / 25
# Maximum duration of a frame that ffmpeg can write, in 1/CLOCK seconds.
_MAX_DURATION = (2**31 - 1) * CLOCK // TIME_BASE

_QUEUE_FRAMES = 8
"""Maximum number of frames waiting for ffmpeg."""
_QUEUE_BYTES = 2**26
"""Maximum size of the waiting frames together; one frame may be larger."""


class FrameSender:
    """Write frames in a background thread, because ffmpeg accepts none while it encodes.

    Args:
        writer: writer of ffmpeg's input stream.
        frame_bytes: size of one frame in bytes.
    """

    def __init__(self, writer: MatroskaWriter, frame_bytes: int) -> None:
        self._writer = writer
        length = min(_QUEUE_FRAMES, max(1, _QUEUE_BYTES // frame_bytes))
        self._frames: queue.Queue[tuple[np.ndarray, int, int] | None] = queue.Queue(length)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, image: np.ndarray, ticks: int, duration: int) -> None:
        """Queue a frame for `MatroskaWriter.write`; the caller must not modify it afterwards.

        Raises:
            ConnectionError: an earlier frame could not be written because ffmpeg has ended.
        """
        self._frames.put((image, ticks, duration))
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Wait until all frames are written or writing has failed.

        Raises:
            ConnectionError: a frame could not be written because ffmpeg has ended.
        """
        self._frames.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (frame := self._frames.get()) is not None:
            # After an error, queued frames are dropped so that `send` does not block.
            if self._error is None:
                try:
                    self._writer.write(*frame)
                except Exception as error:  # raised by `send` or `end`
                    self._error = error


class VideoEncoder:
    """Context manager that writes an mp4 file atomically: complete, or not at all after an error.

    Args:
        path: the mp4 file to write.
        size: (width, height) of the frames. Odd sizes are padded by repeating the last column or
            row, because 4:2:0 colour requires even sizes.
        audio_from: source of the sound: its first audio track is synchronised with the frames. It
            is copied if players expect its codec in an mp4, else converted to AAC. None: silent.
        start_time: start of the source's clock, in seconds (`VideoInfo.start_time`). The mp4 keeps
            the source's times, unless the clock starts before zero or after MAX_START_TIME: then
            frames and sound are shifted together to start at zero.
        pixel_aspect: width / height of a pixel, stored for players (`VideoInfo.pixel_aspect`).
        primaries, transfer: ffmpeg's names of the frames' gamut and transfer characteristics,
            stored for players (`VideoInfo.conversion`).
        crf: constant rate factor of x264; lower is better, 18 is visually lossless.
        preset: speed preset of x264.

    Attributes:
        shift: seconds added to the source's times; 0 except as described for `start_time`.
        warnings: sentences, e.g. that the sound could not be included.

    Raises:
        FacetrackError: ffmpeg failed (with its reason), or no frame was written.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        *,
        audio_from: Path | None,
        start_time: float,
        pixel_aspect: Fraction = Fraction(1),
        primaries: str = "bt709",
        transfer: str = "bt709",
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        self.path = Path(path)
        self.shift = 0.0 if 0 <= start_time <= MAX_START_TIME else -start_time
        self.warnings: list[str] = []
        self._size = size
        self._audio_from = audio_from
        self._pixel_aspect = pixel_aspect
        self._primaries, self._transfer = primaries, transfer
        self._quality = ["-preset", preset, "-crf", str(crf)]
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: list[str] = []
        self._log_thread: threading.Thread | None = None
        self._sender: FrameSender | None = None
        self._temporary = self.path
        self._pending: tuple[np.ndarray, int, float | None] | None = None
        self._steps: list[int] = []

    def __enter__(self) -> VideoEncoder:
        self._temporary = self._stack.enter_context(atomic_path(self.path))
        self._stack.push(self._finish)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, image: np.ndarray, time: float, duration: float | None = None) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: presentation time in seconds on the source's clock.
            duration: display time in seconds, used for the last frame only, since every other frame
                lasts until the next. None: the median frame interval.

        Raises:
            ValueError: the image does not have the size of the video.
            FacetrackError: the frame cannot be written.
        """
        if image.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frame {image.shape} in a video of {self._size[0]}x{self._size[1]}")
        ticks = max(0, round((time + self.shift) * CLOCK))
        if self._pending is not None:
            # Two frames of an mp4 cannot have the same time: the later one gets the next tick.
            ticks = max(ticks, self._pending[1] + -(-CLOCK // TIME_BASE))
            step = ticks - self._pending[1]
            if step > _MAX_DURATION:
                raise FacetrackError(
                    f"{self.path} cannot be written: two frames are {step / CLOCK:.0f} seconds "
                    f"apart, but a frame of an mp4 lasts at most {_MAX_DURATION // CLOCK}; "
                    "--no-overlay skips this file."
                )
            self._steps = [*self._steps[-998:], step]
            self._write_pending(step)
        self._pending = (self._padded_copy(image), ticks, duration)

    def _padded_copy(self, image: np.ndarray) -> np.ndarray:
        """Return a copy padded to even sides; the caller may modify the original."""
        height, width = image.shape[:2]
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")

    def _write_pending(self, duration: int) -> None:
        """Write the pending frame, now that its duration (in 1/CLOCK seconds) is known."""
        assert self._pending is not None
        image, ticks, _ = self._pending
        try:
            if self._sender is None:
                self._sender = FrameSender(self._start(image, duration), image.nbytes)
            self._sender.send(image, ticks, duration)
        except ConnectionError as error:
            self._fail(error)

    def _start(self, image: np.ndarray, step: int) -> MatroskaWriter:
        audio = self._audio_arguments()
        command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-y", "-copyts"]
        command += ["-f", "matroska", "-i", "pipe:0"]
        if audio:
            # With -copyts the offset is added to the times in the file.
            command += ["-itsoffset", f"{self.shift:.6f}"]
            command += [*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(cast(Path, self._audio_from))]
        aspect = self._pixel_aspect.limit_denominator(10_000)
        command += ["-map", "0:v:0", *audio, *ffmpeg.passthrough()]
        # Players assume BT.709 for untagged video, so the video gets its matrix and is tagged.
        # Newer versions of ffmpeg take the tags from the frames, older ones from the options.
        command += [
            "-vf",
            "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,"
            f"format=yuv420p,"
            f"setsar={aspect.numerator}/{aspect.denominator}:max=10000,"
            f"setparams=color_primaries={self._primaries}:color_trc={self._transfer}",
        ]
        command += ["-colorspace", "bt709", "-color_primaries", self._primaries]
        command += ["-color_trc", self._transfer]
        command += ["-color_range", "tv", "-c:v", "libx264", *ffmpeg.threads(), *self._quality]
        # Without B-frames, decoding order is display order, so the durations in the mp4 are exact.
        command += ["-bf", "0"]
        command += ["-enc_time_base", f"1:{TIME_BASE}", "-video_track_timescale", str(TIME_BASE)]
        command += ["-map_metadata", "-1", "-map_chapters", "-1", "-metadata", "comment=facetrack"]
        command += ["-movflags", "+faststart", "-f", "mp4", ffmpeg.file_url(self._temporary)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ffmpeg.environment(),
            **ffmpeg.own_group(),
        )
        self._log_thread = threading.Thread(target=self._read_log, daemon=True)
        self._log_thread.start()
        # The rate determines x264's level; a short first frame must not raise it.
        seconds = min(max(step / CLOCK, 1 / 120), 1.0)
        height, width = image.shape[:2]
        stream = cast(BinaryIO, self._process.stdin)
        return MatroskaWriter(stream, (width, height), seconds)

    def _audio_arguments(self) -> list[str]:
        """Return ffmpeg's options for the sound, tested on its first second; [] without sound."""
        source = self._audio_from
        if source is None or os.path.isdir(source):
            return []
        codec = ffmpeg.read_header(source).audio
        if codec is None:
            return []
        joined = clock_restarts(source, "0:a:0")
        filters = CONTINUOUS_SOUND if joined else "aresample=async=1"
        copy = ["-map", "1:a:0", "-c:a", "copy"]
        aac = ["-map", "1:a:0", "-af", filters, "-c:a", "aac", "-b:a", "192k"]
        for options in [copy, aac] if codec in COPIED_AUDIO and not joined else [aac]:
            command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS]
            command += [*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(source)]
            command += ["-map", "0:a:0", *options[2:], "-t", "1", "-f", "mp4"]
            command += ["-movflags", "+frag_keyframe+empty_moov+delay_moov", "pipe:1"]
            trial = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                env=ffmpeg.environment(),
            )
            if trial.returncode == 0 and trial.stdout:
                return options
        self.warnings.append(f"the sound of {source} ({codec}) cannot be read; it is omitted.")
        return []

    def _read_log(self) -> None:
        process = cast("subprocess.Popen[bytes]", self._process)
        for raw in cast(BinaryIO, process.stderr):
            line = raw.decode("utf-8", "replace").rstrip()
            if "[error]" in line or "[fatal]" in line:
                self._log = [*self._log[-199:], line]

    def _finish(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            if error is None:
                self._complete()
        finally:
            self._end_process()
        return False

    def _complete(self) -> None:
        if self._pending is None:
            raise FacetrackError(f"{self.path} was not written: there is no frame to write.")
        duration = self._pending[2]
        typical = median(self._steps) if self._steps else _FALLBACK_STEP * CLOCK
        ticks = round(duration * CLOCK if duration else typical)
        self._write_pending(min(max(1, ticks), _MAX_DURATION))
        process = cast("subprocess.Popen[bytes]", self._process)
        try:
            cast(FrameSender, self._sender).end()
        except ConnectionError as error:
            self._fail(error)
        with contextlib.suppress(BrokenPipeError):
            cast(BinaryIO, process.stdin).close()
        if process.wait() != 0 or not os.path.exists(self._temporary):
            self._fail(None)

    def _fail(self, error: OSError | None) -> None:
        """Raise a FacetrackError with ffmpeg's error message."""
        process = cast("subprocess.Popen[bytes]", self._process)
        process.wait()
        cast(threading.Thread, self._log_thread).join()
        reasons = [ffmpeg.message(line) for line in self._log]
        reason = next((r for r in reasons if "No space left" in r), None)
        reason = reason or next(iter(reasons), f"ffmpeg ended with status {process.returncode}")
        raise OutputError(f"{self.path} cannot be written: {reason.rstrip('.')}.") from error

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        cast(threading.Thread, self._log_thread).join()
        if self._sender is not None:
            with contextlib.suppress(Exception):  # the error has already been reported
                self._sender.end()
        # Closing fails if the pipe's buffer still holds data, which is lost anyway.
        with contextlib.suppress(OSError):
            cast(BinaryIO, process.stdin).close()
        cast(BinaryIO, process.stderr).close()
