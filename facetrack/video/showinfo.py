"""Parse ffmpeg's log: what the `showinfo` filter says about each frame, and problems.

The filter writes a line for each frame, and later a line with the frame's colour properties. Times
are integers in the time base of the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from facetrack.video import ffmpeg
from facetrack.video.colour import Colour

# showinfo writes this part of a line at once, but a message of another thread may share the line.
_STAMP = re.compile(
    r"\bn:\s*\d+\s+pts:\s*(NOPTS|-?\d+)\s+pts_time:\S+\s+(?:duration:\s*(-?\d+)\s)?"
    r".*?\bfmt:(\w+).*?\bsar:(\d+)/(\d+) s:(\d+)x(\d+) i:([PTB])"
)
# showinfo writes these one by one, so messages of other threads may come between them, without a
# space: the known names come first, the longer ones before their beginnings.
_NAMES = (
    *("chroma-derived-nc", "chroma-derived-c", "iec61966-2-4", "iec61966-2-1", "arib-std-b67"),
    *("bt2020-10", "bt2020-12", "bt2020nc", "bt2020c", "bt2020", "bt709", "bt470bg", "bt470m"),
    *("bt1361e", "smpte170m", "smpte240m", "smpte2084", "smpte2085", "smpte428", "smpte431"),
    *("smpte432", "ebu3213", "jedec-p22", "ycgco-re", "ycgco-ro", "ycgco", "ictcp", "ipt-c2"),
    *("linear", "log100", "log316", "film", "fcc", "gbr", "tv", "pc", "unknown", "reserved"),
)
_COLOUR = re.compile(
    rf"\b(color_range|color_space|color_primaries|color_trc):({'|'.join(_NAMES)}|[a-z0-9-]+)"
)
_LAST_COLOUR = "color_trc"
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")
# The last lines of the log before decoding begins; metadata of the file is indented further.
_DECODING_BEGINS = re.compile(r"^(?:\[info\] )?(?:Stream mapping:|  Stream #\d+:\d+ -> #)")
_MAX_PROBLEMS = 1000

FILTER = "showinfo=checksum=0"
"""The filter, in ffmpeg's notation."""


class Stamp(NamedTuple):
    """Log entry of one frame.

    Attributes:
        time: presentation time in seconds; None if unknown.
        duration: display time in seconds; None if unknown.
        size: (width, height) in pixels.
        pixel_aspect: width / height of a pixel; 1 as long as no frame has stated it.
        graph: number of filter graphs configured so far; it increases when the frame format
            changes.
        interlaced: True if the frame's lines are two fields, from different times.
        colour: the colour properties.
    """

    time: float | None
    duration: float | None
    size: tuple[int, int]
    pixel_aspect: Fraction
    graph: int
    interlaced: bool
    colour: Colour


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
        self._pixel_aspect = Fraction(1)
        self._incomplete: Stamp | None = None
        self._colours: dict[str, str] = {}

    def feed(self, line: str) -> Iterator[Stamp]:
        """Yield the stamps that a line completes, nearly always none or one."""
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
        for fields in _STAMP.findall(line):
            yield from self.flush()
            self._incomplete = self._stamp(*fields)
        for name, value in _COLOUR.findall(line):
            self._colours[name] = value
            if name == _LAST_COLOUR:
                yield from self.flush()

    def flush(self) -> Iterator[Stamp]:
        """Yield the last stamp; properties that are missing are those of the frame before it."""
        stamp, self._incomplete = self._incomplete, None
        if stamp is not None:
            yield stamp._replace(colour=stamp.colour.stated(**self._colours))

    def _stamp(
        self,
        pts: str,
        duration: str,
        pixels: str,
        sar_w: str,
        sar_h: str,
        width: str,
        height: str,
        scan: str,
    ) -> Stamp:
        if int(sar_w):
            self._pixel_aspect = Fraction(int(sar_w), int(sar_h))
        has_duration = duration and int(duration) > 0
        return Stamp(
            time=None if pts == "NOPTS" else self._seconds(int(pts)),
            duration=self._seconds(int(duration)) if has_duration else None,
            size=(int(width), int(height)),
            pixel_aspect=self._pixel_aspect,
            graph=self._graphs,
            interlaced=scan != "P",
            colour=Colour(pixels),
        )

    def _seconds(self, ticks: int) -> float:
        # A single division of integers gives the nearest float.
        return ticks * self._time_base.numerator / self._time_base.denominator
