"""Read how the frames of a file are turned and mirrored for display.

ffmpeg turns frames before all other filters. A deinterlacer must see them before: the lines of a
field stand upright in a picture that was turned by a quarter.
"""

from __future__ import annotations

import math
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from facetrack.video import ffmpeg
from facetrack.video.file_cache import cached_by_file

_HEADER = b"tkhd"
_MATRIX_OFFSET = 44
"""Bytes from a track header's name to its matrix (ISO/IEC 14496-12, 8.3.2, version 0)."""


class DisplayMatrix(NamedTuple):
    """Linear part of the map from stored to displayed pixels: x' = a x + c y, y' = b x + d y."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0

    @property
    def is_mirrored(self) -> bool:
        """Return True if the frames are mirrored, with or without a turn."""
        return self.a * self.d < self.b * self.c

    @property
    def filters(self) -> str:
        """ffmpeg's filters that show a frame as its automatic turn does; "" if it stays."""
        across, down = math.hypot(self.a, self.c), math.hypot(self.b, self.d)
        if not across or not down:
            return ""
        angle = round(math.degrees(math.atan2(self.b / down, self.a / across))) % 360
        if angle == 90:
            return "transpose=" + ("cclock_flip" if self.c > 0 else "clock")
        if angle == 270:
            return "transpose=" + ("clock_flip" if self.c < 0 else "cclock")
        if angle in (0, 180):
            flips = ("hflip" if self.a < 0 else "", "vflip" if self.d < 0 else "")
            return ",".join(filter(None, flips))
        return f"rotate={angle}*PI/180" if angle > 1 else ""


@cached_by_file(missing=DisplayMatrix())
def read_display_matrix(path: Path, stream: str) -> DisplayMatrix:
    """Return the display matrix of a stream's first frame; the identity if it has none.

    ffmpeg's log states it without mirroring.

    Args:
        path: the file.
        stream: ffmpeg's specifier of the video stream.
    """
    # A frame that is written to a file of another kind takes its matrix with it.
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-noautorotate", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", stream, "-frames:v", "1"]
    command += ["-vf", "scale=16:16", "-pix_fmt", "yuv420p", "-c:v", "mpeg4"]
    command += ["-movflags", "empty_moov", "-f", "mov", "pipe:1"]
    written = subprocess.run(
        command, capture_output=True, check=False, env=ffmpeg.environment()
    ).stdout
    header = written.find(_HEADER)
    if header < 0 or len(written) < header + _MATRIX_OFFSET + 20:
        return DisplayMatrix()
    a, b, _, c, d = struct.unpack_from(">5i", written, header + _MATRIX_OFFSET)
    return DisplayMatrix(a, b, c, d)
