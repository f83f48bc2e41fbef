"""One ffmpeg process that decodes a file: pictures from its pipe, times from its log.

The pictures are raw RGB on standard output. The times are the lines of the `showinfo` filter, one a
frame and in the same order, with the timestamp as an integer in the stream's own time base.
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
from facetrack.video.frame import Frame

# showinfo writes this much of a line at once, but another thread's message may share the line.
_STAMP = re.compile(
    r"\bn:\s*\d+\s+pts:\s*(NOPTS|-?\d+)\s+pts_time:\S+\s+(?:duration:\s*(-?\d+)\s)?"
    r".*?\bsar:(\d+)/(\d+) s:(\d+)x(\d+)"
)
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
# What ffmpeg says last before it decodes; a file's own words are indented further.
_BEGINS = re.compile(r"^(?:\[info\] )?(?:Stream mapping:|  Stream #\d+:\d+ -> #)")
_SHOWINFO = "showinfo=checksum=0"
_MAX_PROBLEMS = 1000
MAX_PIXELS = 2**27
"""Of a picture; 15360 x 8640 is within it. A file of a few kilobytes can hold far larger ones, and
a few of them would take up all memory."""
SEEK_MARGINS = (1.0, 10.0)
"""Seconds before the first wanted frame to which is sought, as pictures that come after a key frame
and are shown before it may lack what they refer to; the second where the first did not do."""
TIME_TOLERANCE = 1e-6
"""Seconds by which a frame may differ from the one of that number, read before."""


class Stamp(NamedTuple):
    """What the log says of a frame; `graph` counts the changes of picture format before it."""

    time: float | None
    duration: float | None
    size: tuple[int, int]
    pixel_aspect: Fraction
    graph: int


class FormatChangedError(Exception):
    """The picture format changed, so ffmpeg restarted its filters and their frame counter."""


class SeekError(Exception):
    """Seeking led to frames that are not those that were read before."""


class StampParser:
    """Turns lines of ffmpeg's log into stamps; remembers the problems they tell of.

    What a file says of itself (its title, say) is in the log too, and must not pass for a stamp: it
    comes before decoding begins, and nothing of it afterwards thanks to `-map_metadata`.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.problem_count = 0
        self._begun = False
        self._graphs = 0
        self._time_base = Fraction(0)

    def feed(self, line: str) -> Iterator[Stamp]:
        """The stamps in one line: nearly always none or one."""
        if not self._begun:
            self._begun = _BEGINS.match(line) is not None
        elif found := _TIME_BASE.search(line):
            self._graphs += 1
            self._time_base = Fraction(int(found[1]), int(found[2]))
        if ffmpeg.is_problem(line):
            self.problem_count += 1
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(line)
        if not self._begun:
            return
        for pts, duration, sar_w, sar_h, width, height in _STAMP.findall(line):
            known = duration and int(duration) > 0
            yield Stamp(
                time=None if pts == "NOPTS" else self._seconds(int(pts)),
                duration=self._seconds(int(duration)) if known else None,
                size=(int(width), int(height)),
                pixel_aspect=Fraction(int(sar_w), int(sar_h)) if int(sar_w) else Fraction(1),
                graph=self._graphs,
            )

    def _seconds(self, ticks: int) -> float:
        # One division of integers, so that the result is the nearest float.
        return ticks * self._time_base.numerator / self._time_base.denominator


def _input_arguments(path: Path, *seek: str) -> list[str]:
    # -copyts keeps the container's clock; 0:V:0 is the first video stream that is no cover picture.
    return [
        *ffmpeg.threads(),
        *("-copyts", "-max_pixels", str(MAX_PIXELS), *seek),
        *(*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(path)),
        *("-map", "0:V:0", "-map_metadata", "-1", *ffmpeg.passthrough()),
    ]


def first_frame(path: Path) -> tuple[Stamp, ffmpeg.Header]:
    """Stamp of the first frame and the header of the file `path`.

    Raises FacetrackError, in one sentence, when no frame can be decoded.
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
    """Iterates over the frames `first`.. of a file; every frame has the size of the first one.

    `kill` may be called from another thread and ends the iteration. After it, `problems` has the
    log's complaints (`problem_count` of them in all), `count` the number of frames decoded
    (skipped ones included) and `without_time` how many of them had no timestamp of their own.

    Args:
        path, first: see above.
        known: times of the file's first frames, or none of them. A source that reads them from the
            start adds what is missing; one that begins at a frame whose time is known seeks it,
            and reads from the start only where what it meets is something else.
    """

    def __init__(self, path: Path, first: int, known: array[float] | None = None) -> None:
        self._path = path
        self._first = first
        self._known = known
        self._killed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.problems: list[str] = []
        self.problem_count = 0
        self.count = 0
        self.without_time = 0

    def kill(self) -> None:
        """Stop decoding now."""
        self._killed.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def __iter__(self) -> Iterator[Frame]:
        position = self._first
        selecting, starts = position > 0, self._starts()
        start = next(starts, None)
        while not self._killed.is_set():
            try:
                for frame in self._decode(position, selecting, start):
                    position = frame.index + 1
                    yield frame
                return
            except FormatChangedError:
                # ffmpeg cannot skip by number across the change: read on and skip here.
                selecting, start = False, None
            except SeekError:
                start = next(starts, None)

    def _starts(self) -> Iterator[float]:
        """Times that may be sought to meet the first frame; none where nothing is known of it."""
        known = self._known
        if known is None or not 0 < self._first < len(known):
            return
        if all(a < b for a, b in itertools.pairwise(known)):
            starts = (known[self._first] - back for back in SEEK_MARGINS)
            yield from (start for start in starts if start > known[0])

    def _decode(self, first: int, selecting: bool, start: float | None) -> Iterator[Frame]:
        """Frames from `first` on; `selecting`: ffmpeg skips those before, so none is converted;
        `start`: time that is sought, before the first one's."""
        filters, seek = _SHOWINFO, list[str]()
        if start is not None:
            assert self._known is not None
            before, wanted = self._known[first - 1 : first + 1]
            filters += rf",select=gte(t\,{(before + wanted) / 2:.9f})"
            seek = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{start:.6f}"]
        elif selecting:
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
        if self._killed.is_set():  # killed between the caller's look and the start
            process.kill()
        parser = StampParser()
        stamps: queue.SimpleQueue[Stamp | None] = queue.SimpleQueue()
        log = threading.Thread(target=_read_log, args=(process, parser, stamps), daemon=True)
        log.start()
        try:
            seeking = start is not None
            yield from self._match(process, stamps, first, selecting or seeking, seeking)
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
        selecting: bool,
        seeking: bool,
    ) -> Iterator[Frame]:
        """Pair the pictures of the pipe with the stamps of the log."""
        size: tuple[int, int] | None = None
        graph = 0
        index = -1
        known = array("d") if self._known is None else self._known
        before: float | None = None
        step = 0.0
        self.without_time = 0
        while (stamp := stamps.get()) is not None:
            index += 1
            if size is None:
                size, graph = stamp.size, stamp.graph
                if seeking:
                    index = bisect.bisect_left(known, (stamp.time or 0.0) - TIME_TOLERANCE)
                    if index > first:
                        raise SeekError
            if seeking and not _is(known, index, stamp.time):
                raise SeekError
            if selecting and stamp.graph != graph:
                raise FormatChangedError
            time = stamp.time
            if time is None:
                self.without_time += 1
                time = 0.0 if before is None else before + (stamp.duration or step)
            elif before is not None:
                step = time - before
            before = time
            self.count = index + 1
            if self._known is not None and index == len(known):
                known.append(time)
            if index < first and selecting:
                continue
            image = np.empty((size[1], size[0], 3), np.uint8)
            if not _fill(process, image):
                return
            if index >= first:
                yield Frame(index, time, image, stamp.duration)
        if seeking and index < len(known) - 1:
            raise SeekError


def _is(known: array[float], index: int, time: float | None) -> bool:
    """Whether the frame of that number was read before at this time, or was not read."""
    if time is None:
        return False
    return index >= len(known) or abs(known[index] - time) <= TIME_TOLERANCE


def _read_log(
    process: subprocess.Popen[bytes],
    parser: StampParser,
    stamps: queue.SimpleQueue[Stamp | None],
) -> None:
    """Empty the log as it comes (a full pipe would stop ffmpeg); None marks its end."""
    try:
        for raw in process.stderr:  # type: ignore[union-attr]
            for stamp in parser.feed(raw.decode("utf-8", "replace")):
                stamps.put(stamp)
    finally:
        stamps.put(None)


def _fill(process: subprocess.Popen[bytes], image: np.ndarray) -> bool:
    """Read one picture from the pipe; False where the pipe ends before it is whole."""
    view = image.data.cast("B")
    filled = 0
    while filled < len(view):
        count = process.stdout.readinto(view[filled:])  # type: ignore[union-attr]
        if not count:
            return False
        filled += count
    return True
