"""Find changes of the pixel aspect within broadcasts, which switch between 4:3 and 16:9.

ffmpeg's filters give every frame the same pixel aspect, so it is read from the headers that precede
key frames. Only transport and program streams are read for this, without decoding.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from facetrack.video import ffmpeg
from facetrack.video.file_cache import cached_by_file
from facetrack.video.showinfo import Stamp

_CONTAINERS = {"mpeg", "mpegts"}
_CODECS = {"h264", "hevc", "mpeg2video"}
_TICKS = 90_000
"""Ticks per second of these containers."""
_PACKET = re.compile(r"Packet: \d+ bytes, key frame, pts (-?\d+)")
_FIELD = re.compile(
    r"\b(aspect_ratio_idc|sar_width|sar_height|aspect_ratio_information|horizontal_size_value"
    r"|vertical_size_value)\s+[01]+ = (\d+)"
)
# ITU-T H.264, table E-1.
_INDEXED = [
    *((1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33)),
    *((18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
]
_EXTENDED = 255
# ISO/IEC 13818-2, table 6-3: aspect of the whole picture.
_DISPLAYED = {2: Fraction(4, 3), 3: Fraction(16, 9), 4: Fraction(221, 100)}
_AHEAD = 4
"""Number of key frames among which the next is looked for, as some are not decoded."""
_TOLERANCE = 1e-6


class KeyAspect(NamedTuple):
    """The pixel aspect from a key frame on, which has this time in seconds."""

    time: float
    aspect: Fraction


class AspectFollower:
    """Tells the pixel aspect of the frames of a file, in order.

    Args:
        keys: those of the file, in its order; empty if there is no change.
        start: time of the first frame to follow, if reading begins there; None for the start.
    """

    def __init__(self, keys: tuple[KeyAspect, ...], start: float | None = None) -> None:
        self._keys = keys
        self._next = 0
        self._aspect: Fraction | None = keys[0].aspect if keys else None
        if start is not None:
            while self._next < len(keys) and keys[self._next].time <= start + _TOLERANCE:
                self._aspect = keys[self._next].aspect
                self._next += 1

    def aspect(self, time: float | None) -> Fraction | None:
        """Return the pixel aspect of the next frame; None if it is that which ffmpeg says.

        Args:
            time: the frame's time in the file.
        """
        if time is not None:
            for i, key in enumerate(self._keys[self._next : self._next + _AHEAD]):
                if abs(key.time - time) <= _TOLERANCE:
                    self._next += i + 1
                    self._aspect = key.aspect
                    break
        return self._aspect

    def shaped(self, stamp: Stamp) -> Stamp:
        """Return the stamp of the next frame with the frame's own pixel aspect."""
        return stamp._replace(pixel_aspect=self.aspect(stamp.time) or stamp.pixel_aspect)


def key_aspects(path: Path, stream: str, container: str, codec: str) -> tuple[KeyAspect, ...]:
    """Return the pixel aspect at each key frame; nothing if it does not change.

    Args:
        path: the file.
        stream: ffmpeg's specifier of the stream.
        container, codec: ffmpeg's names; the file is read only if these allow for changes.
    """
    if codec not in _CODECS or not _CONTAINERS & set(container.split(",")):
        return ()
    return _key_aspects(path, stream)


@cached_by_file(missing=())
def _key_aspects(path: Path, stream: str) -> tuple[KeyAspect, ...]:
    """Read the headers; see `key_aspects`."""
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", stream, "-c", "copy"]
    command += ["-bsf:v", "noise=drop=not(key),trace_headers", "-f", "null", "-"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ffmpeg.environment()
    )
    with process:
        lines = (raw.decode("ascii", "replace") for raw in process.stderr or ())
        found = list(parse_headers(lines))
    if len({aspect for _, aspect in found}) < 2:
        return ()
    return tuple(KeyAspect(ticks / _TICKS, aspect) for ticks, aspect in found)


def parse_headers(lines: Iterable[str]) -> Iterator[tuple[int, Fraction]]:
    """Yield (time in ticks, pixel aspect) of the key frames in a log of `trace_headers`."""
    ticks: int | None = None
    values: dict[str, int] = {}
    aspect: Fraction | None = None
    for line in lines:
        if "Packet: " in line and (match := _PACKET.search(line)):
            aspect = _pixel_aspect(values) or aspect
            if ticks is not None and aspect is not None:
                yield ticks, aspect
            ticks, values = int(match[1]), {}
        elif match := _FIELD.search(line):
            values[match[1]] = int(match[2])
    aspect = _pixel_aspect(values) or aspect
    if ticks is not None and aspect is not None:
        yield ticks, aspect


def _pixel_aspect(values: dict[str, int]) -> Fraction | None:
    """Return the pixel aspect that the fields of a header state, if they do."""
    index = values.get("aspect_ratio_idc", 0)
    if index == _EXTENDED and values.get("sar_width") and values.get("sar_height"):
        return Fraction(values["sar_width"], values["sar_height"])
    if 1 <= index <= len(_INDEXED):
        return Fraction(*_INDEXED[index - 1])
    width, height = values.get("horizontal_size_value"), values.get("vertical_size_value")
    displayed = values.get("aspect_ratio_information")
    if displayed == 1:
        return Fraction(1)
    if displayed in _DISPLAYED and width and height:
        return _DISPLAYED[displayed] * height / width
    return None
