"""Find streams whose clock starts again within the file, as in joined recordings."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

from facetrack.video import ffmpeg

CONTINUOUS_SOUND = "asetpts=STARTPTS+N/SR/TB"
"""Filter that counts samples, instead of using the times in the file."""
_FORMAT = re.compile(r"Input #0, (\S+), from")
_FORMATS = {"mpeg", "mpegts"}
"""ffmpeg's names of the formats whose files can be joined by appending one to the other."""
_JUMP = re.compile(r"Non-monoton\w+ DTS.* previous: (-?\d+), current: (-?\d+)")
_TOLERANCE = 45_000
"""Ticks of 1/90000 s that a packet may lie before the one before it."""


def clock_restarts(path: Path, stream: str) -> bool:
    """Return True if the times of a stream's packets go back within the file.

    Only files in formats where this happens are read for it, once, and nothing is decoded.

    Args:
        path: the file.
        stream: ffmpeg's specifier of the stream, e.g. "0:a:0".
    """
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return _clock_restarts(os.path.abspath(path), stream, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _clock_restarts(path: str, stream: str, size: int, modified: int) -> bool:
    """Read the packets.

    Args:
        path, stream: see `clock_restarts`.
        size, modified: of the file, so that the result for a changed file is not reused.
    """
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(Path(path)), "-map", stream, "-c", "copy"]
    process = subprocess.Popen(
        [*command, "-f", "framecrc", "pipe:1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=ffmpeg.environment(),
    )
    with process:
        for raw in process.stderr or ():
            line = raw.decode("utf-8", "replace")
            container, jump = _FORMAT.search(line), _JUMP.search(line)
            if container is not None and not _FORMATS & set(container[1].split(",")):
                process.kill()
                return False
            if jump is not None and int(jump[1]) - int(jump[2]) > _TOLERANCE:
                process.kill()
                return True
    return False
