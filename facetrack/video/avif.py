"""Turn the image of an AVIF file upright, and find the stream that holds its animation.

ffmpeg shows the file's still image, its transparency and its animation as video streams; the still
image comes first.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np

from facetrack.video import ffmpeg
from facetrack.video.animations import is_avif_sequence
from facetrack.video.file_cache import cached_by_file

HEAD_BYTES = 2**16
"""Bytes of a file in which its properties are."""
FIRST_VIDEO = "0:V:0"
"""The first video stream that is not a cover image, as an ffmpeg stream specifier."""
_VIDEO_STREAM = re.compile(r"Stream #0:(\d+)\S*: Video:")
_FRAME = re.compile(r"\bn:\s*1\s+pts:")


def upright(image: np.ndarray, data: bytes) -> np.ndarray:
    """Return the image (H, W, ...) of an AVIF file as its properties say that it is to be shown.

    OpenCV decodes the coded image alone. The properties are `irot`, quarter turns to the left, and
    then `imir`, a flip (ISO/IEC 23008-12, 6.5.10 and 6.5.12).

    Args:
        data: the file, or its beginning; files of other formats change nothing.
    """
    if data[4:8] != b"ftyp" or not data[8:12].startswith(b"av"):
        return image
    head = data[:HEAD_BYTES]
    if turn := _property(head, b"irot"):
        image = np.rot90(image, turn & 3)
    mirror = _property(head, b"imir")
    if mirror is not None:
        image = image[:, ::-1] if mirror & 1 else image[::-1]
    return np.ascontiguousarray(image)


def _property(head: bytes, name: bytes) -> int | None:
    """Return the byte that a property of an image holds; None without the property."""
    found = head.find((9).to_bytes(4, "big") + name)
    return None if found < 0 or found + 8 >= len(head) else head[found + 8]


def video_stream(path: Path) -> str:
    """Return the specifier of the stream that holds a file's frames."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return FIRST_VIDEO
    try:
        with open(path, "rb") as file:
            if not is_avif_sequence(file):
                return FIRST_VIDEO
    except OSError:
        return FIRST_VIDEO
    return _animated_stream(path)


@cached_by_file(missing=FIRST_VIDEO)
def _animated_stream(path: Path) -> str:
    """Return the first stream of a file with two frames."""
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
