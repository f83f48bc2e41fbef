"""Decode a file with one ffmpeg process: frames from its pipe, times from its log.

The frames are raw RGB on standard output. The times are in the lines of the `showinfo` filter, one
per frame in the same order, as integers in the time base of the stream.
"""

from __future__ import annotations

import bisect
import itertools
import queue
import re
import subprocess
import threading
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.avif import video_stream
from facetrack.video.frame import Frame

# showinfo writes this part of a line at once, but a message of another thread may share the line.
_STAMP = re.compile(
    r"\bn:\s*\d+\s+pts:\s*(NOPTS|-?\d+)\s+pts_time:\S+\s+(?:duration:\s*(-?\d+)\s)?"
    r".*?\bsar:(\d+)/(\d+) s:(\d+)x(\d+)"
)
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
# The last lines of the log before decoding begins; metadata of the file is indented further.
_DECODING_BEGINS = re.compile(r"^(?:\[info\] )?(?:Stream mapping:|  Stream #\d+:\d+ -> #)")
_SHOWINFO = "showinfo=checksum=0"
_MAX_PROBLEMS = 1000
MAX_PIXELS = 2**27
"""Maximum number of pixels of a frame, above 15360 x 8640. A file of a few kilobytes can hold far
larger frames, a few of which would fill all memory."""
SEEK_MARGINS = (1.0, 10.0)
"""Seconds before the first requested frame to seek to. Frames that follow a key frame but are shown
before it may lack their reference frames. The second margin is used if the first fails."""
TIME_TOLERANCE = 1e-6
"""Seconds by which the time of a frame may differ from its time at an earlier reading."""


class Stamp(NamedTuple):
    """Log entry of one frame.

    Attributes:
        time: presentation time in seconds; None if unknown.
        duration: display time in seconds; None if unknown.
        size: (width, height) in pixels.
        pixel_aspect: width / height of a pixel.
        graph: number of filter graphs configured so far; it increases when the frame format
            changes.
    """

    time: float | None
    duration: float | None
    size: tuple[int, int]
    pixel_aspect: Fraction
    graph: int


class FormatChangedError(Exception):
    """The frame format changed, so ffmpeg restarted its filters and their frame counter."""


class SeekError(Exception):
    """Seeking led to frames that differ from those of an earlier reading."""


class StampParser:
    """Parse ffmpeg's log into stamps and collect problems.

    The log also contains the metadata of the file, e.g. its title, which must not be mistaken for a
    stamp. Metadata occurs only before decoding begins, thanks to `-map_metadata`.

    Attributes:
        problems: the first log lines about damaged input.
        problem_count: number of all such lines.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.problem_count = 0
        self._decoding = False
        self._graphs = 0
        self._time_base = Fraction(0)

    def feed(self, line: str) -> Iterator[Stamp]:
        """Yield the stamps in one line, nearly always none or one."""
        if not self._decoding:
            self._decoding = _DECODING_BEGINS.match(line) is not None
        elif match := _TIME_BASE.search(line):
            self._graphs += 1
            self._time_base = Fraction(int(match[1]), int(match[2]))
        if ffmpeg.is_problem(line):
            self.problem_count += 1
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(line)
        if not self._decoding:
            return
        for pts, duration, sar_w, sar_h, width, height in _STAMP.findall(line):
            has_duration = duration and int(duration) > 0
            yield Stamp(
                time=None if pts == "NOPTS" else self._seconds(int(pts)),
                duration=self._seconds(int(duration)) if has_duration else None,
                size=(int(width), int(height)),
                pixel_aspect=Fraction(int(sar_w), int(sar_h)) if int(sar_w) else Fraction(1),
                graph=self._graphs,
            )

    def _seconds(self, ticks: int) -> float:
        # A single division of integers gives the nearest float.
        return ticks * self._time_base.numerator / self._time_base.denominator


def _input_arguments(path: Path, *seek: str) -> list[str]:
    # -copyts keeps the container's clock.
    return [
        *ffmpeg.threads(),
        *("-copyts", "-max_pixels", str(MAX_PIXELS), *seek),
        *(*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(path)),
        *("-map", video_stream(path), "-map_metadata", "-1", *ffmpeg.passthrough()),
    ]


def first_frame(path: Path) -> tuple[Stamp, ffmpeg.Header]:
    """Return the stamp of the first frame of the file `path`, and the file's header.

    Raises:
        FacetrackError: no frame can be decoded.
    """
    ffmpeg.check_file(path)
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *_input_arguments(path)]
    parser = StampParser()
    command += ["-vf", _SHOWINFO, "-frames:v", "1", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, check=False, env=ffmpeg.environment()).stderr
    lines = log.decode("utf-8", "replace").splitlines()
    for line in lines:
        for stamp in parser.feed(line):
            return stamp, ffmpeg.parse_header(lines)
    raise FacetrackError(ffmpeg.explain(path, lines))


class FFmpegSource:
    """Iterate over the frames of a file; every frame has the size of the first one.

    Args:
        path: the file.
        first: index of the first frame to yield.
        known_times: times of the file's first frames, possibly empty. A source that reads from the
            start appends missing times. A source that starts at a frame of known time seeks to it,
            and reads from the start only if it finds different frames there.

    Attributes:
        problems, problem_count: log lines about damaged input after the iteration (`StampParser`).
        count: number of frames decoded, including skipped frames.
        untimed: number of decoded frames without a timestamp.
    """

    def __init__(self, path: Path, first: int, known_times: array[float] | None = None) -> None:
        self._path = path
        self._first = first
        self._known_times = known_times
        self._killed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.problems: list[str] = []
        self.problem_count = 0
        self.count = 0
        self.untimed = 0

    def kill(self) -> None:
        """Stop decoding and end the iteration; may be called from another thread."""
        self._killed.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def __iter__(self) -> Iterator[Frame]:
        position = self._first
        skipping, seek_times = position > 0, self._seek_times()
        seek_time = next(seek_times, None)
        while not self._killed.is_set():
            try:
                for frame in self._decode(position, skipping, seek_time):
                    position = frame.index + 1
                    yield frame
                return
            except FormatChangedError:
                # ffmpeg cannot skip by frame number across the change, so skip frames here.
                skipping, seek_time = False, None
            except SeekError:
                seek_time = next(seek_times, None)

    def _seek_times(self) -> Iterator[float]:
        """Yield times to seek to for the first frame, in order of preference; none if unknown."""
        known = self._known_times
        if known is None or not 0 < self._first < len(known):
            return
        if all(a < b for a, b in itertools.pairwise(known)):
            times = (known[self._first] - margin for margin in SEEK_MARGINS)
            yield from (time for time in times if time > known[0])

    def _decode(self, first: int, skipping: bool, seek_time: float | None) -> Iterator[Frame]:
        """Yield the frames from index `first`.

        Args:
            skipping: let ffmpeg skip earlier frames without converting them.
            seek_time: time in seconds to seek to; None to read from the start.
        """
        filters, seek = _SHOWINFO, list[str]()
        if seek_time is not None:
            assert self._known_times is not None
            before, target = self._known_times[first - 1 : first + 1]
            filters += rf",select=gte(t\,{(before + target) / 2:.9f})"
            seek = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{seek_time:.6f}"]
        elif skipping:
            filters += rf",select=gte(n\,{first})"
        command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *_input_arguments(self._path, *seek)]
        command += ["-vf", filters, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ffmpeg.environment(),
        )
        self._process = process
        if self._killed.is_set():  # killed between the check in __iter__ and the start
            process.kill()
        parser = StampParser()
        stamps: queue.SimpleQueue[Stamp | None] = queue.SimpleQueue()
        log = threading.Thread(target=_read_log, args=(process, parser, stamps), daemon=True)
        log.start()
        try:
            seeking = seek_time is not None
            yield from self._match(process, stamps, first, skipping or seeking, seeking)
            process.stdout.close()  # type: ignore[union-attr]
            process.wait()
            log.join()
            self.problems, self.problem_count = parser.problems, parser.problem_count
        finally:
            process.kill()
            process.wait()
            log.join()
            process.stdout.close()  # type: ignore[union-attr]
            process.stderr.close()  # type: ignore[union-attr]

    def _match(
        self,
        process: subprocess.Popen[bytes],
        stamps: queue.SimpleQueue[Stamp | None],
        first: int,
        skipping: bool,
        seeking: bool,
    ) -> Iterator[Frame]:
        """Pair the images from the pipe with the stamps from the log."""
        size: tuple[int, int] | None = None
        graph = 0
        index = -1
        known = array("d") if self._known_times is None else self._known_times
        previous_time: float | None = None
        step = 0.0
        self.untimed = 0
        while (stamp := stamps.get()) is not None:
            index += 1
            if size is None:
                size, graph = stamp.size, stamp.graph
                if seeking:
                    index = bisect.bisect_left(known, (stamp.time or 0.0) - TIME_TOLERANCE)
                    if index > first:
                        raise SeekError
            if seeking and not _matches(known, index, stamp.time):
                raise SeekError
            if skipping and stamp.graph != graph:
                raise FormatChangedError
            time = stamp.time
            if time is None:
                self.untimed += 1
                time = 0.0 if previous_time is None else previous_time + (stamp.duration or step)
            elif previous_time is not None:
                step = time - previous_time
            previous_time = time
            self.count = index + 1
            if self._known_times is not None and index == len(known):
                known.append(time)
            if index < first and skipping:
                continue
            image = np.empty((size[1], size[0], 3), np.uint8)
            if not _read_into(process, image):
                return
            if index >= first:
                yield Frame(index, time, image, stamp.duration)
        if seeking and index < len(known) - 1:
            raise SeekError


def _matches(known: array[float], index: int, time: float | None) -> bool:
    """Return True if the frame has its known time, or if its time is not known yet."""
    if time is None:
        return False
    return index >= len(known) or abs(known[index] - time) <= TIME_TOLERANCE


def _read_log(
    process: subprocess.Popen[bytes],
    parser: StampParser,
    stamps: queue.SimpleQueue[Stamp | None],
) -> None:
    """Read the log continuously, since a full pipe would stop ffmpeg; put None at its end."""
    try:
        for raw in process.stderr:  # type: ignore[union-attr]
            for stamp in parser.feed(raw.decode("utf-8", "replace")):
                stamps.put(stamp)
    finally:
        stamps.put(None)


def _read_into(process: subprocess.Popen[bytes], image: np.ndarray) -> bool:
    """Read one image from the pipe; return False if the pipe ends before it is complete."""
    view = image.data.cast("B")
    filled = 0
    while filled < len(view):
        count = process.stdout.readinto(view[filled:])  # type: ignore[union-attr]
        if not count:
            return False
        filled += count
    return True
