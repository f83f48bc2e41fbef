"""Notice processes that are stopped or hang, so that one video cannot stall a batch for ever.

A process sends a beat every few seconds, with the CPU time that it has used. Signs of work are
messages, and CPU time: a process that is stopped sends nothing, one that waits for ever uses no CPU
time, and a long search for a face uses much.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

BEAT_INTERVAL = 5.0
"""Seconds between two beats."""
MIN_CPU_SECONDS = 0.5
"""CPU time that counts as a sign of work. The beats take less than 0.1 s of it in 10 minutes."""
START_TIMEOUT = 120.0
"""Seconds that a new process has for its first beat: it imports the libraries first."""


@dataclass(frozen=True)
class Beat:
    """A sign of life.

    Attributes:
        cpu_seconds: CPU time that the process has used so far.
    """

    cpu_seconds: float


def beat() -> Beat:
    """Return a beat of this process."""
    return Beat(time.process_time())


@contextlib.contextmanager
def beating(send: Callable[[Beat], None], interval: float) -> Iterator[None]:
    """Send beats from a background thread.

    Args:
        send: called with each beat; the beats end if it raises OSError.
        interval: seconds between two beats.
    """
    ended = threading.Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            send(beat())
            while not ended.wait(interval):
                send(beat())

    threading.Thread(target=run, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


class Watch:
    """Measures how long a process has given no sign of work.

    Time counts only while the watching process runs itself: after the whole batch was stopped and
    continued, nothing has stalled.

    Args:
        timeout: seconds without a sign of work; 0 for no limit.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._silent = 0.0
        self._cpu_seconds: float | None = None

    def hear(self, message: object) -> None:
        """Take notice of a message from the process, which may be a beat."""
        if isinstance(message, Beat):
            known = self._cpu_seconds
            # A smaller number is that of a new process.
            if known is not None and 0 <= message.cpu_seconds - known < MIN_CPU_SECONDS:
                return
            self._cpu_seconds = message.cpu_seconds
        self._silent = 0.0

    def reset(self) -> None:
        """Begin anew, with the next video."""
        self._silent = 0.0

    def stalled(self, seconds: float) -> bool:
        """Count further seconds, and return True if the process has stalled."""
        self._silent += seconds
        if self._timeout <= 0:
            return False
        is_started = self._cpu_seconds is not None
        return self._silent > (self._timeout if is_started else max(self._timeout, START_TIMEOUT))


class Clock:
    """Measures the time between two looks at the processes, without pauses of this process.

    Args:
        tick: usual seconds between two looks; longer times count as twice as long.
    """

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._last = time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since the last call."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return min(seconds, 2 * self._tick)


def kill_with_children(pid: int) -> None:
    """Kill a process and, on Linux, the processes that it has started, even if they are stopped."""
    # The children first: they are no longer found once their parent has ended.
    for process in [*_descendants(pid), pid]:
        with contextlib.suppress(OSError):
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [*_descendants(child), child]
    return found
