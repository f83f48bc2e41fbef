"""Video out: H.264 in mp4 with the source's own frame times, and its sound."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from fractions import Fraction
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.video import ffmpeg
from facetrack.video.matroska import CLOCK, MatroskaWriter

TIME_BASE = 120_000
"""Ticks per second of the mp4: 24, 25, 30, 50, 60 frames/s, their 1000/1001 and milliseconds are
whole numbers of them, and any other time is within 5 microseconds."""

# What players expect in an mp4; other sound is turned into AAC.
COPIED_AUDIO = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}

# A clock that begins later than this (a piece of a broadcast) would open the mp4 with that much of
# nothing; it is made to begin at zero instead.
MAX_START_TIME = 60.0

_FALLBACK_STEP = 1 / 25
# ffmpeg writes no longer duration than this many ticks of the mp4; here in 1/CLOCK s.
_LONGEST = (2**31 - 1) * CLOCK // TIME_BASE

_AHEAD = 8
"""Frames that may wait for ffmpeg to take them, at most."""
_AHEAD_BYTES = 2**26
"""Bytes that these may have together, if that is more than one frame."""


class FrameSender:
    """Writes frames from a thread of its own, as ffmpeg takes none while it is encoding.

    Args:
        writer: of the stream.
        frame_bytes: of one frame.
    """

    def __init__(self, writer: MatroskaWriter, frame_bytes: int) -> None:
        self._writer = writer
        ahead = min(_AHEAD, max(1, _AHEAD_BYTES // frame_bytes))
        self._frames: queue.Queue[tuple[np.ndarray, int, int] | None] = queue.Queue(ahead)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, image: np.ndarray, ticks: int, length: int) -> None:
        """Hand on a frame, which nobody may draw on any more, as `MatroskaWriter.write`.

        Raises:
            ConnectionError: an earlier one could not be written, as ffmpeg has ended.
        """
        self._frames.put((image, ticks, length))
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Wait until all are written, or writing has failed.

        Raises:
            ConnectionError: it has, as ffmpeg has ended.
        """
        self._frames.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (frame := self._frames.get()) is not None:
            if self._error is None:  # else those that wait are dropped, so that nobody waits on
                try:
                    self._writer.write(*frame)
                except Exception as error:  # whoever hands on frames is told
                    self._error = error


class VideoEncoder:
    """Context manager that writes an mp4; on a clean exit the file appears whole, else not at all.

    Args:
        path: the mp4 to write.
        size: (width, height) of the frames; an odd one is made even by repeating the last column
            or row, as 4:2:0 colour needs.
        audio_from: the source whose first sound track is kept, in step with the frames: copied
            where players expect its codec in an mp4, else turned into AAC. None: silent.
        start_time: where the source's clock starts, in seconds (`VideoInfo.start_time`). The frame
            times of the mp4 are the source's; but where the clock starts before zero, or later
            than LATEST_START, sound and frames are shifted together so that it starts at zero.
        pixel_aspect: width / height of one pixel, kept for players (`VideoInfo.pixel_aspect`).
        crf: x264's constant quality, lower is better; 18 shows no loss.
        preset: x264's speed.

    Attributes:
        shift: seconds added to the source's times, 0 except as said above.
        warnings: sentences, e.g. that the sound could not be kept.

    Raises FacetrackError when ffmpeg fails, with its reason, or when no frame was written.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        *,
        audio_from: Path | None,
        start_time: float,
        pixel_aspect: Fraction = Fraction(1),
        crf: int = 18,
        preset: str = "veryfast",
    ) -> None:
        self.path = Path(path)
        self.shift = 0.0 if 0 <= start_time <= MAX_START_TIME else -start_time
        self.warnings: list[str] = []
        self._size = size
        self._audio_from = audio_from
        self._pixel_aspect = pixel_aspect
        self._quality = ["-preset", preset, "-crf", str(crf)]
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: list[str] = []
        self._log_thread: threading.Thread | None = None
        self._sender: FrameSender | None = None
        self._temporary = self.path
        self._waiting: tuple[np.ndarray, int, float | None] | None = None
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
        """Add a frame: (H, W, 3) uint8 RGB, and its time in seconds on the source's clock.

        A frame lasts until the next; `duration` (s) counts for the last one only, which lasts the
        median step where it is None.
        """
        if image.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"frame {image.shape} in a video of {self._size[0]}x{self._size[1]}")
        ticks = max(0, round((time + self.shift) * CLOCK))
        if self._waiting is not None:
            # mp4 holds no two frames at one time: the later one gets the next tick.
            ticks = max(ticks, self._waiting[1] + -(-CLOCK // TIME_BASE))
            step = ticks - self._waiting[1]
            if step > _LONGEST:
                raise FacetrackError(
                    f"{self.path} cannot be written: between two frames lie {step / CLOCK:.0f} "
                    f"seconds, and a frame of an mp4 lasts {_LONGEST // CLOCK} at most; "
                    "--no-overlay leaves it out."
                )
            self._steps = [*self._steps[-998:], step]
            self._write_waiting(step)
        self._waiting = (self._even(image), ticks, duration)

    def _even(self, image: np.ndarray) -> np.ndarray:
        """A copy, as the caller may draw on its own again, padded to even sides."""
        height, width = image.shape[:2]
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")

    def _write_waiting(self, length: int) -> None:
        """Write the frame that waited for its length (1/CLOCK s) to be known."""
        assert self._waiting is not None
        image, ticks, _ = self._waiting
        try:
            if self._sender is None:
                self._sender = FrameSender(self._start(image, length), image.nbytes)
            self._sender.send(image, ticks, length)
        except ConnectionError as error:
            self._fail(error)

    def _start(self, image: np.ndarray, step: int) -> MatroskaWriter:
        audio = self._audio_arguments()
        command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-y", "-copyts"]
        command += ["-f", "matroska", "-i", "pipe:0"]
        if audio:
            # With -copyts the offset is added to the times as they are in the file.
            command += ["-itsoffset", f"{self.shift:.6f}"]
            command += [*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(cast(Path, self._audio_from))]
        aspect = self._pixel_aspect.limit_denominator(10_000)
        command += ["-map", "0:v:0", *audio, *ffmpeg.passthrough()]
        # Players take BT.709 for granted where nothing is said; so it is what is said and done.
        command += [
            "-vf",
            "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,"
            f"format=yuv420p,"
            f"setsar={aspect.numerator}/{aspect.denominator}:max=10000",
        ]
        command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        command += ["-color_range", "tv", "-c:v", "libx264", *ffmpeg.threads(), *self._quality]
        # Without B-frames decoding order is display order, so the durations in the mp4 are exact.
        command += ["-bf", "0"]
        command += ["-enc_time_base", f"1:{TIME_BASE}", "-video_track_timescale", str(TIME_BASE)]
        command += ["-map_metadata", "-1", "-map_chapters", "-1"]
        command += ["-movflags", "+faststart", "-f", "mp4", ffmpeg.file_url(self._temporary)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ffmpeg.environment(),
        )
        self._log_thread = threading.Thread(target=self._read_log, daemon=True)
        self._log_thread.start()
        # The rate is a hint for x264's level: a frame that happens to be short must not raise it.
        seconds = min(max(step / CLOCK, 1 / 120), 1.0)
        height, width = image.shape[:2]
        stream = cast(BinaryIO, self._process.stdin)
        return MatroskaWriter(stream, (width, height), seconds)

    def _audio_arguments(self) -> list[str]:
        """Options for the sound, none where there is none; tries them on its first second."""
        source = self._audio_from
        if source is None or source.is_dir():
            return []
        codec = ffmpeg.read_header(source).audio
        if codec is None:
            return []
        copy = ["-map", "1:a:0", "-c:a", "copy"]
        aac = ["-map", "1:a:0", "-af", "aresample=async=1", "-c:a", "aac", "-b:a", "192k"]
        for options in [copy, aac] if codec in COPIED_AUDIO else [aac]:
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
        self.warnings.append(f"the sound of {source} ({codec}) cannot be read; it is left out.")
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
        if self._waiting is None:
            raise FacetrackError(f"{self.path} was not written: there is no frame to write.")
        duration = self._waiting[2]
        usual = median(self._steps) if self._steps else _FALLBACK_STEP * CLOCK
        last = round(duration * CLOCK if duration else usual)
        self._write_waiting(min(max(1, last), _LONGEST))
        process = cast("subprocess.Popen[bytes]", self._process)
        try:
            cast(FrameSender, self._sender).end()
        except ConnectionError as error:
            self._fail(error)
        with contextlib.suppress(BrokenPipeError):
            cast(BinaryIO, process.stdin).close()
        if process.wait() != 0 or not self._temporary.exists():
            self._fail(None)

    def _fail(self, error: OSError | None) -> None:
        """Raise a FacetrackError with what ffmpeg said."""
        process = cast("subprocess.Popen[bytes]", self._process)
        process.wait()
        cast(threading.Thread, self._log_thread).join()
        reasons = [ffmpeg.message(line) for line in self._log]
        reason = next((r for r in reasons if "No space left" in r), None)
        reason = reason or next(iter(reasons), f"ffmpeg ended with status {process.returncode}")
        raise FacetrackError(f"{self.path} cannot be written: {reason.rstrip('.')}.") from error

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        cast(threading.Thread, self._log_thread).join()
        if self._sender is not None:
            with contextlib.suppress(Exception):  # what went wrong has been said
                self._sender.end()
        # What the pipe's buffer still holds has nowhere to go.
        with contextlib.suppress(OSError):
            cast(BinaryIO, process.stdin).close()
        cast(BinaryIO, process.stderr).close()
