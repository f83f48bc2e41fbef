"""Run an ffmpeg process that writes frames to its pipe and their stamps to its log."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from facetrack.video import ffmpeg
from facetrack.video.showinfo import Stamp, StampParser


class Decoding(NamedTuple):
    """A running ffmpeg process.

    Attributes:
        process: the process; its standard output is a pipe of raw RGB images.
        stamps: one for each image in the same order, then None.
        parser: of the log; complete after the last stamp.
    """

    process: subprocess.Popen[bytes]
    stamps: queue.SimpleQueue[Stamp | None]
    parser: StampParser


@contextmanager
def decoding(command: list[str]) -> Iterator[Decoding]:
    """Run an ffmpeg command within the `with` block, and end it after that."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ffmpeg.environment(),
        **ffmpeg.own_group(),
    )
    started = Decoding(process, queue.SimpleQueue(), StampParser())
    log = threading.Thread(target=_read_log, args=started, daemon=True)
    log.start()
    try:
        yield started
    finally:
        process.kill()
        process.wait()
        log.join()
        process.stdout.close()  # type: ignore[union-attr]
        process.stderr.close()  # type: ignore[union-attr]


def _read_log(
    process: subprocess.Popen[bytes],
    stamps: queue.SimpleQueue[Stamp | None],
    parser: StampParser,
) -> None:
    """Read the log continuously, since a full pipe would stop ffmpeg; put None at its end."""
    try:
        for raw in process.stderr:  # type: ignore[union-attr]
            for stamp in parser.feed(raw.decode("utf-8", "replace")):
                stamps.put(stamp)
        for stamp in parser.flush():
            stamps.put(stamp)
    finally:
        stamps.put(None)


def read_into(process: subprocess.Popen[bytes], image: np.ndarray) -> bool:
    """Read one image from the pipe; return False if the pipe ends before it is complete."""
    view = image.data.cast("B")
    filled = 0
    while filled < len(view):
        count = process.stdout.readinto(view[filled:])  # type: ignore[union-attr]
        if not count:
            return False
        filled += count
    return True
