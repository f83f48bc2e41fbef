"""Read the clock of a file's packets: where it starts again, and where it is before zero."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from facetrack.video import ffmpeg
from facetrack.video.file_cache import cached_by_file

CONTINUOUS_SOUND = "asetpts=STARTPTS+N/SR/TB"
"""Filter that counts samples, instead of using the times in the file."""
_FORMAT = re.compile(r"Input #0, (\S+), from")
_FORMATS = {"mpeg", "mpegts"}
"""ffmpeg's names of the formats whose files can be joined by appending one to the other."""
_JUMP = re.compile(r"Non-monoton\w+ DTS.* previous: (-?\d+), current: (-?\d+)")
_TOLERANCE = 45_000
"""Ticks of 1/90000 s that a packet may lie before the one before it."""
_START = re.compile(r", start (-?[\d.]+)")
_PACKET = re.compile(r"^\[showinfo @ [^\]]*\] (?:\[info\] )?n: *\d+ .*?\bpt:(NOPTS|-?[\d.e-]+) ")
_REORDERED = 32
"""Packets after the first with a time after which no packet of an earlier frame comes."""


class UnreadStart(NamedTuple):
    """The first frames of a file, if their times are before zero and ffmpeg does not read them.

    Attributes:
        frames: their number.
        time: seconds, of the frame after them, the first with a time.
        step: seconds between frames.
    """

    frames: int
    time: float
    step: float

    def time_of(self, frame: int) -> float | None:
        """Return the time of a frame in seconds, counted back; None if the file has its time."""
        if frame >= self.frames:
            return None
        return self.time - (self.frames - frame) * self.step


def unread_start(
    path: Path, stream: str, container: str, details: str, first: float | None, step: float | None
) -> UnreadStart | None:
    """Return the first frames whose times ffmpeg does not read; None if it reads all.

    ffmpeg drops the negative times of a Matroska file, and numbers the frames from 0.

    Args:
        path: the file.
        stream: ffmpeg's specifier of the video stream.
        container, details: of the header (`ffmpeg.Header`).
        first: time of the first frame according to ffmpeg, in seconds.
        step: seconds between frames; None if unknown.
    """
    match = _START.search(details)
    start = float(match[1]) if match else 0.0
    if "matroska" not in container or first is None or step is None or not 0 <= first <= start:
        return None
    count, time = _untimed_packets(path, stream)
    return UnreadStart(count, time, step) if count else None


def _untimed_packets(path: Path, stream: str) -> tuple[int, float]:
    """Return the number of packets without a time at the start of a stream, and the first time.

    The number is 0 if such packets come later, too: then the file states no times of pictures.
    """
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", stream, "-c", "copy"]
    process = subprocess.Popen(
        [*command, "-bsf", "showinfo", "-f", "null", "-"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=ffmpeg.environment(),
    )
    untimed, times = 0, list[float]()
    later = 0  # packets after the first with a time
    with process:
        for raw in process.stderr or ():
            match = _PACKET.match(raw.decode("utf-8", "replace"))
            if match is None:
                continue
            later += bool(times)
            if match[1] != "NOPTS":
                times.append(float(match[1]))
            elif later <= _REORDERED:
                untimed += 1
            else:
                untimed = 0
            if later > 2 * _REORDERED or (later > _REORDERED and not untimed):
                process.kill()
                break
    # Packets come in the order of decoding, so the first time is not always that of the first.
    return (untimed, min(times)) if times else (0, 0.0)


@cached_by_file(missing=False)
def clock_restarts(path: Path, stream: str) -> bool:
    """Return True if the times of a stream's packets go back within the file.

    Only files in formats where this happens are read for it, once, and nothing is decoded.

    Args:
        path: the file.
        stream: ffmpeg's specifier of the stream, e.g. "0:a:0".
    """
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", *ffmpeg.INPUT_OPTIONS]
    command += ["-i", ffmpeg.file_url(path), "-map", stream, "-c", "copy"]
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
