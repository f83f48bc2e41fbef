"""Decode a live source with one ffmpeg process, without frames that wait inside of it."""

from __future__ import annotations

import math
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facetrack.video import ffmpeg, showinfo
from facetrack.video.decoder import MAX_PIXELS
from facetrack.video.decoding import read_into
from facetrack.video.live_source import LiveSource
from facetrack.video.showinfo import Stamp, StampParser

_MAX_LINES = 300
_CHECK_INTERVAL = 0.1


class Arrival(NamedTuple):
    """A frame that has arrived.

    Attributes:
        stamp: its entry in ffmpeg's log.
        image: (H, W, 3) uint8 RGB.
        at: when it arrived, in seconds of `time.monotonic`.
    """

    stamp: Stamp
    image: np.ndarray
    at: float


class LiveDecoder:
    """One connection to a live source: iterate over the frames until it ends.

    Args:
        source: the source.
        silence: seconds without a frame after which the connection is ended; None: wait for ever.

    Attributes:
        lines: the first lines of ffmpeg's log.
        went_silent: True if the connection was ended because no frame came.
    """

    def __init__(self, source: LiveSource, silence: float | None) -> None:
        self._source, self._silence = source, silence
        self._killed = threading.Event()
        self._heard_at = 0.0
        self.lines: list[str] = []
        self.went_silent = False

    def kill(self) -> None:
        """End the iteration; may be called from another thread."""
        self._killed.set()

    @property
    def header(self) -> ffmpeg.Header:
        """What ffmpeg says of the source before the first frame."""
        return ffmpeg.parse_header(self.lines)

    def problems(self) -> list[str]:
        """Return what ffmpeg reported as errors, without secrets."""
        errors = (line for line in self.lines if "[error]" in line or "[fatal]" in line)
        return [self._source.without_secrets(ffmpeg.message(line)) for line in errors]

    def __iter__(self) -> Iterator[Arrival]:
        process = subprocess.Popen(
            self._command(),
            stdin=None if self._source.kind == "stdin" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ffmpeg.environment(),
            **ffmpeg.own_group(),
        )
        stamps: queue.SimpleQueue[Stamp | None] = queue.SimpleQueue()
        # The first frame may take twice as long: the connection comes first.
        self._heard_at = time.monotonic() + (self._silence or 0.0)
        threads = [
            threading.Thread(target=self._read_log, args=(process, stamps), daemon=True),
            threading.Thread(target=self._watch, args=(process,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while (stamp := stamps.get()) is not None:
                image = np.empty((stamp.size[1], stamp.size[0], 3), np.uint8)
                if not read_into(process, image):
                    break
                self._heard_at = math.inf  # the consumer may take its time
                yield Arrival(stamp, image, time.monotonic())
                self._heard_at = time.monotonic()
        finally:
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
            process.stdout.close()  # type: ignore[union-attr]
            process.stderr.close()  # type: ignore[union-attr]

    def _command(self) -> list[str]:
        # Threads that each decode a frame would hold as many frames back; slices hold none.
        command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, *ffmpeg.threads()]
        command += ["-thread_type", "slice", "-max_pixels", str(MAX_PIXELS)]
        command += [*self._source.arguments, "-map", "0:v:0", "-map_metadata", "-1"]
        command += [*ffmpeg.passthrough(), "-vf", showinfo.FILTER, "-pix_fmt", "rgb24"]
        return [*command, "-noautoscale", "-flush_packets", "1", "-f", "rawvideo", "pipe:1"]

    def _read_log(
        self, process: subprocess.Popen[bytes], stamps: queue.SimpleQueue[Stamp | None]
    ) -> None:
        parser = StampParser()
        try:
            for raw in process.stderr:  # type: ignore[union-attr]
                line = raw.decode("utf-8", "replace").rstrip()
                if len(self.lines) < _MAX_LINES and "showinfo" not in line:
                    self.lines.append(line)
                for stamp in parser.feed(line):
                    stamps.put(stamp)
            for stamp in parser.flush():
                stamps.put(stamp)
        finally:
            stamps.put(None)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """End the process when it is asked to, or when the source has been silent for long."""
        while process.poll() is None:
            if self._silence is not None and time.monotonic() - self._heard_at > self._silence:
                self.went_silent = True
                self._killed.set()
            if self._killed.wait(_CHECK_INTERVAL):
                process.kill()
                return
