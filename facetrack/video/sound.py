"""Find sound whose clock starts again within the file, as in joined recordings."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from facetrack.video import ffmpeg

CONTINUOUS = "asetpts=STARTPTS+N/SR/TB"
"""Filter that counts samples, instead of using the times in the file."""
_FORMAT = re.compile(r"Input #0, (\S+), from")
_CLOCK_FORMATS = {"mpeg", "mpegts"}
"""ffmpeg's names of the formats whose files can be joined by appending one to the other."""
_JUMP = re.compile(r"Non-monoton\w+ DTS.* previous: (-?\d+), current: (-?\d+)")
_TOLERANCE = 45_000
"""Ticks of 1/90000 s that a packet may lie before the one before it."""


def clock_restarts(path: Path, header: ffmpeg.Header) -> bool:
    """Return True if the times of the first sound track go back within the file `path`.

    Only files in formats where this happens are read for it, and no sound is decoded.

    Args:
        path: the file.
        header: its header.
    """
    match = next(filter(None, map(_FORMAT.search, header.lines)), None)
    if match is None or not _CLOCK_FORMATS & set(match[1].split(",")):
        return False
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", "0:a:0", "-c", "copy"]
    process = subprocess.Popen(
        [*command, "-f", "framecrc", "pipe:1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=ffmpeg.environment(),
    )
    with process:
        for raw in process.stderr or ():
            jump = _JUMP.search(raw.decode("utf-8", "replace"))
            if jump is not None and int(jump[1]) - int(jump[2]) > _TOLERANCE:
                process.kill()
                return True
    return False
