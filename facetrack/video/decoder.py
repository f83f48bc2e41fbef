"""Decode a file with one ffmpeg process: frames from its pipe, times from its log.

The frames are raw RGB on standard output. The times are in the lines of the `showinfo` filter, one
per frame in the same order.
"""

from __future__ import annotations

import bisect
import itertools
import subprocess
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg, showinfo
from facetrack.video.aspects import AspectFollower, key_aspects
from facetrack.video.avif import video_stream
from facetrack.video.changes import Changes
from facetrack.video.clock import UnreadStart, clock_restarts
from facetrack.video.decoding import Decoding, decoding, read_into
from facetrack.video.display_matrix import read_display_matrix
from facetrack.video.frame import Frame
from facetrack.video.picture import Canvas, PictureFormat, Preparation
from facetrack.video.showinfo import Stamp, StampParser
from facetrack.video.timeline import LOOKAHEAD, Mark, Moment, Timeline

MAX_PIXELS = 2**27
"""Maximum number of pixels of a frame, above 15360 x 8640. A file of a few kilobytes can hold far
larger frames, a few of which would fill all memory."""
PROBED_FRAMES = 3
"""Number of frames that tell the properties of a file: the first may be unlike the others."""
_LOOKAHEAD_BYTES = 2**28
"""Maximum size of the frames that are held while their times are uncertain; two may be larger."""
SEEK_MARGINS = (1.0, 10.0)
"""Seconds before the first requested frame to seek to. Frames that follow a key frame but are shown
before it may lack their reference frames. The second margin is used if the first fails."""
TIME_TOLERANCE = 1e-6
"""Seconds by which the time of a frame may differ from its time at an earlier reading."""


class FormatChangedError(Exception):
    """The frame format changed, so ffmpeg restarted its filters and their frame counter."""


class PreparationChangedError(Exception):
    """A frame needs other filters than those that ffmpeg was started with."""


class SeekError(Exception):
    """Seeking led to frames that differ from those of an earlier reading."""


def _input_arguments(path: Path, *seek: str) -> list[str]:
    # -copyts keeps the container's clock.
    return [
        *ffmpeg.threads(),
        *("-copyts", "-max_pixels", str(MAX_PIXELS), *seek),
        *(*ffmpeg.INPUT_OPTIONS, "-i", ffmpeg.file_url(path)),
        *("-map", video_stream(path), "-map_metadata", "-1", *ffmpeg.passthrough()),
    ]


def first_frames(path: Path) -> tuple[list[Stamp], ffmpeg.Header]:
    """Return the stamps of the first PROBED_FRAMES frames of the file `path`, and its header.

    Raises:
        FacetrackError: no frame can be decoded.
    """
    ffmpeg.check_file(path)
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *_input_arguments(path)]
    command += ["-vf", showinfo.FILTER, "-frames:v", str(PROBED_FRAMES), "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, check=False, env=ffmpeg.environment()).stderr
    lines = log.decode("utf-8", "replace").splitlines()
    parser = StampParser()
    stamps = [stamp for line in lines for stamp in parser.feed(line)]
    stamps += parser.flush()
    if not stamps:
        raise FacetrackError(ffmpeg.explain(path, lines))
    header = ffmpeg.parse_header(lines)
    codec = header.video[0] if header.video else ""
    aspects = AspectFollower(key_aspects(path, video_stream(path), header.container, codec))
    return [aspects.shaped(stamps[0]), *stamps[1:]], header


class _Received(NamedTuple):
    """A decoded frame whose final time is not certain yet."""

    stamp: Stamp
    image: np.ndarray


class FFmpegSource:
    """Iterate over the frames of a file; every frame has the size of the first one.

    Args:
        path: the file.
        first: index of the first frame to yield.
        known_times: times of the file's first frames, possibly empty. A source that reads from the
            start appends missing times, or NaN for times that are not those of the file. A source
            that starts at a frame of known time seeks to it, and reads from the start only if it
            finds different frames there. It never seeks in a file with NaN among its times.
        picture: how to prepare the frames; None to find out.
        step: seconds between frames according to the header; None if unknown.
        unread: the first frames, if ffmpeg does not read their times.

    Attributes:
        problems, problem_count: log lines about damaged input after the iteration (`StampParser`).
        count: number of frames decoded, including skipped frames.
        untimed: number of decoded frames without a timestamp.
        changes: what changes within the file.
        start: time of frame 0; None if it was not read.
        timeline: the times of the frames, with its faults.
    """

    def __init__(
        self,
        path: Path,
        first: int,
        known_times: array[float] | None = None,
        picture: PictureFormat | None = None,
        step: float | None = None,
        unread: UnreadStart | None = None,
    ) -> None:
        self._path = path
        self._first = first
        self._known_times = known_times
        self._picture = picture
        self._step = step
        self._unread = unread or UnreadStart(0, 0.0, 0.0)
        self._killed = threading.Event()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.problems: list[str] = []
        self.problem_count = 0
        self._reset()

    def _reset(self) -> None:
        """Forget all frames that are not yielded yet, to read them from the start of the file."""
        self._preparation = Preparation() if self._picture is None else self._picture.first
        self._received: dict[int, _Received] = {}
        self._next = 0
        self.count = 0
        self.untimed = 0
        self.changes = Changes()
        self.start: float | None = None
        lookahead = LOOKAHEAD
        if self._picture is not None:
            width, height = self._picture.size
            lookahead = min(LOOKAHEAD, _LOOKAHEAD_BYTES // (3 * width * height))
        self.timeline = Timeline(self._step, lookahead)

    def kill(self) -> None:
        """Stop decoding and end the iteration; may be called from another thread."""
        self._killed.set()
        for process in list(self._processes):
            process.kill()

    def __iter__(self) -> Iterator[Frame]:
        self._reset()
        skipping, seek_times = self._first > 0, self._seek_times()
        seek_time = next(seek_times, None)
        while not self._killed.is_set():
            try:
                for frame in self._decode(max(self._first, self._next), skipping, seek_time):
                    self._first = frame.index + 1
                    yield frame
                break
            except FormatChangedError:
                # ffmpeg cannot skip by frame number across the change, so skip frames here.
                skipping, seek_time = False, None
            except PreparationChangedError:
                seek_time = None
            except SeekError:
                self._reset()
                seek_time = next(seek_times, None)
        yield from self._finish(self.timeline.close())

    def _seek_times(self) -> Iterator[float]:
        """Yield times to seek to for the first frame, in order of preference; none if unknown."""
        known = self._known_times
        if known is None or not 0 < self._first < len(known):
            return
        if clock_restarts(self._path, video_stream(self._path)):
            return  # a time may occur twice
        if all(a < b for a, b in itertools.pairwise(known)):
            times = (known[self._first] - margin for margin in SEEK_MARGINS)
            yield from (time for time in times if time > known[0])

    def _decode(self, first: int, skipping: bool, seek_time: float | None) -> Iterator[Frame]:
        """Yield the frames from index `first`.

        Args:
            skipping: let ffmpeg skip earlier frames without converting them.
            seek_time: time in seconds to seek to; None to read from the start.
        """
        select, options = "", list[str]()
        if seek_time is not None:
            assert self._known_times is not None
            before, target = self._known_times[first - 1 : first + 1]
            select = rf"gte(t\,{(before + target) / 2:.9f})"
            options = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{seek_time:.6f}"]
        elif skipping:
            select = rf"gte(n\,{first})"
        seeking = seek_time is not None
        with self._run(self._command(select, *options)) as running:
            yield from self._match(running, first, skipping or seeking, seeking)
            running.process.stdout.close()  # type: ignore[union-attr]
            running.process.wait()
        self.problems = running.parser.problems
        self.problem_count = running.parser.problem_count

    def _command(self, select: str, *options: str, held: int | None = None) -> list[str]:
        """Return an ffmpeg command that writes frames and their stamps.

        Args:
            select: see `Preparation.filters`.
            options: for the input.
            held: see `Preparation.filters`.
        """
        turn = ""
        if self._preparation.deinterlace:
            turn = read_display_matrix(self._path, video_stream(self._path)).filters
        inputs = _input_arguments(self._path, *options, *(["-noautorotate"] if turn else []))
        command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *inputs]
        command += ["-vf", self._preparation.filters(select, turn, held), "-pix_fmt", "rgb24"]
        # Frames of another size are fitted into the first size here, not distorted by ffmpeg.
        return [*command, "-noautoscale", "-f", "rawvideo", "pipe:1"]

    @contextmanager
    def _run(self, command: list[str]) -> Iterator[Decoding]:
        """Run an ffmpeg command within the `with` block, which `kill` can end."""
        with decoding(command) as running:
            self._processes.append(running.process)
            if self._killed.is_set():  # killed before the start
                running.process.kill()
            try:
                yield running
            finally:
                self._processes.remove(running.process)

    def _match(
        self,
        running: Decoding,
        first: int,
        skipping: bool,
        seeking: bool,
    ) -> Iterator[Frame]:
        """Pair the images from the pipe with the stamps from the log."""
        known = array("d") if self._known_times is None else self._known_times
        graph: int | None = None
        index = -1
        in_graph = 0
        aspects = AspectFollower(())
        while (stamp := running.stamps.get()) is not None:
            index += 1
            if graph is None:
                graph = stamp.graph
                aspects = self._follow_aspects(stamp.time if seeking else None)
                if seeking:
                    index = bisect.bisect_left(known, (stamp.time or 0.0) - TIME_TOLERANCE)
                    if index > first:
                        raise SeekError
                    self._next = index
            if self._picture is None:
                self._picture = PictureFormat.of([stamp], "", "", "")
            if seeking and not _matches(known, index, stamp.time):
                raise SeekError
            if skipping and stamp.graph != graph:
                raise FormatChangedError
            while graph < stamp.graph:
                held = self._read_held(graph, in_graph) if self._preparation.deinterlace else None
                if held is not None:
                    shaped = aspects.shaped(held.stamp)
                    yield from self._accept(index, shaped, first)
                    if index >= first:
                        self._received[index] = _Received(shaped, held.image)
                    index += 1
                graph, in_graph = graph + 1, 0
            in_graph += 1
            stamp = aspects.shaped(stamp)
            yield from self._accept(index, stamp, first)
            if index < first and skipping:
                continue
            image = np.empty((stamp.size[1], stamp.size[0], 3), np.uint8)
            if not read_into(running.process, image):
                return
            if index >= first:
                self._received[index] = _Received(stamp, image)
        if seeking and index < len(known) - 1:
            raise SeekError

    def _accept(self, index: int, stamp: Stamp, first: int) -> Iterator[Frame]:
        """Note a frame, if it is new; yield the frames whose final times are certain now."""
        if index >= first:
            self._check_preparation(stamp)
        if index >= self._next:
            yield from self._finish(self._receive(index, stamp))

    def _read_held(self, graph: int, index: int) -> _Received | None:
        """Return the frame that the deinterlacer held back where the frame format changed.

        ffmpeg drops it, with the filters. None: this ffmpeg does not.

        Args:
            graph: that of the filters before the change (`Stamp.graph`).
            index: of the frame among those of these filters.
        """
        remaining = min(index, 1) + 1  # with the frame before it, whose fields it needs
        with self._run(self._command("", held=index)) as running:
            while (stamp := running.stamps.get()) is not None and stamp.graph <= graph:
                image = np.empty((stamp.size[1], stamp.size[0], 3), np.uint8)
                if not read_into(running.process, image):
                    break
                remaining -= stamp.graph == graph
                if not remaining:
                    return _Received(stamp, image)
        return None

    def _follow_aspects(self, start: float | None) -> AspectFollower:
        if self._picture is None:
            return AspectFollower(())
        stream, picture = video_stream(self._path), self._picture
        keys = key_aspects(self._path, stream, picture.container, picture.codec)
        return AspectFollower(keys, start)

    def _check_preparation(self, stamp: Stamp) -> None:
        """Check that the frame gets the preparation that it needs.

        Raises:
            PreparationChangedError: it does not.
        """
        assert self._picture is not None
        needed = self._picture.preparation(stamp)
        if not self._preparation.covers(needed):
            self._preparation = self._preparation.changed_to(needed)
            raise PreparationChangedError

    def _receive(self, index: int, stamp: Stamp) -> Iterator[Moment]:
        """Note a new frame; yield the final times that are certain now."""
        assert self._picture is not None
        self._next = index + 1
        self.count = index + 1
        self.untimed += stamp.time is None
        self.changes.note(index, stamp, self._picture, self._preparation)
        counted = self._unread.time_of(index)
        time = stamp.time if counted is None else counted
        return self.timeline.push(Mark(index, time, stamp.duration))

    def _finish(self, moments: Iterable[Moment]) -> Iterator[Frame]:
        """Yield the frames whose final times are certain now."""
        for index, time, is_original in moments:
            if index == 0:
                self.start = time
            known = self._known_times
            if known is not None and index == len(known):
                is_read = is_original and index >= self._unread.frames
                known.append(time if is_read else np.nan)
            received = self._received.pop(index, None)
            if received is not None and index >= self._first:
                assert self._picture is not None
                canvas = Canvas(self._picture.size, self._picture.pixel_aspect)
                image = canvas.fit(received.image, received.stamp.pixel_aspect)
                yield Frame(index, time, image, received.stamp.duration)


def _matches(known: array[float], index: int, time: float | None) -> bool:
    """Return True if the frame has its known time, or if its time is not known yet."""
    if time is None:
        return False
    return index >= len(known) or abs(known[index] - time) <= TIME_TOLERANCE
