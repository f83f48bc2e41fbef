"""Find when the sound of a video starts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg

# Only the filter's own lines: the metadata of the file may hold any text.
_STAMP = re.compile(r"^\[Parsed_ashowinfo\S* @ [^\]]*\] (?:\[info\] )?n:0 pts:\S+ pts_time:(\S+)")


def audio_start(path: Path) -> float:
    """Return the time of the first sample of the first audio track, in seconds.

    The time is on the clock of the container, as the times of the frames are. A program that
    extracts the sound into a file of its own puts this sample at 0.

    Raises:
        FacetrackError: the file has no sound, or its sound cannot be decoded.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FacetrackError(
            f"{path} has no sound whose start could be read: give --audio-offset in seconds."
        )
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", "0:a:0", "-af", "ashowinfo"]
    command += ["-frames:a", "1", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, check=False, env=ffmpeg.environment()).stderr
    for line in log.decode("utf-8", "replace").splitlines():
        match = _STAMP.match(line)
        if match:
            try:
                return float(match[1])
            except ValueError:
                break
    raise FacetrackError(
        f"{path} has no sound whose start can be read: give --audio-offset in seconds."
    )
