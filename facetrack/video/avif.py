"""Find the stream of an AVIF file that holds its animation.

ffmpeg shows the file's still image, its transparency and its animation as video streams; the still
image comes first.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

from facetrack.video import ffmpeg
from facetrack.video.animations import is_avif_sequence

FIRST_VIDEO = "0:V:0"
"""The first video stream that is not a cover image, as an ffmpeg stream specifier."""
_VIDEO_STREAM = re.compile(r"Stream #0:(\d+)\S*: Video:")
_FRAME = re.compile(r"\bn:\s*1\s+pts:")


def video_stream(path: Path) -> str:
    """Return the specifier of the stream that holds a file's frames."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return FIRST_VIDEO
    try:
        with open(path, "rb") as file:
            if not is_avif_sequence(file):
                return FIRST_VIDEO
        stat = os.stat(path)
    except OSError:
        return FIRST_VIDEO
    return _animated_stream(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _animated_stream(path: Path, size: int, modified: int) -> str:
    """Return the first stream with two frames.

    Args:
        path: the file.
        size, modified: of the file, so that the result for a changed file is not reused.
    """
    header = _run(path)
    for number in dict.fromkeys(_VIDEO_STREAM.findall(header)):
        options = ("-map", f"0:{number}", "-vf", "showinfo=checksum=0", "-frames:v", "2")
        if _FRAME.search(_run(path, *options, "-f", "null", "-")):
            return f"0:{number}"
    return FIRST_VIDEO


def _run(path: Path, *output: str) -> str:
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), *output]
    log = subprocess.run(command, capture_output=True, check=False, env=ffmpeg.environment()).stderr
    return log.decode("utf-8", "replace")
