"""Being told to stop, by Ctrl-C or a batch system: no word is lost, and no clean-up cut short."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

RETOLD = 0.05
"""Seconds after which an interruption that Python dropped is raised again."""


class Interruptions:
    """Whether this process has been told to stop.

    Attributes:
        told: it has.
        deferred: whoever works now looks at `told` by itself, and is not to be interrupted.
    """

    told = False
    deferred = False


_current: list[Interruptions] = []


@contextlib.contextmanager
def deferred() -> Iterator[Interruptions]:
    """Meanwhile a first signal is no KeyboardInterrupt: whoever works looks at `told`, and stops
    where it suits. Outside `interruptible` all stays as it is."""
    state = _current[-1] if _current else Interruptions()
    before, state.deferred = state.deferred, True
    try:
        yield state
    finally:
        state.deferred = before


@contextlib.contextmanager
def interruptible(
    numbers: Iterable[signal.Signals], patience: float = math.inf
) -> Iterator[Interruptions]:
    """Raise KeyboardInterrupt in the main thread when one of these signals comes.

    A process may be told twice (by its terminal and by the process that started it), so what
    comes within `patience` of the first is left alone: it would cut the clean-up short that the
    first began. Python drops what is raised in a finalizer, where nothing can catch it: it is
    raised again soon after, and no traceback is printed.

    Args:
        patience: seconds; later signals raise KeyboardInterrupt again.
    """
    state = Interruptions()
    since = -math.inf
    last = signal.SIGINT
    dropped = sys.unraisablehook
    timers: list[threading.Timer] = []

    def stop(number: int, frame: Any) -> None:
        nonlocal since, last
        now = time.monotonic()
        if state.told and now - since < patience:
            return
        first = not state.told
        state.told, since, last = True, now, signal.Signals(number)
        if not (first and state.deferred):
            raise KeyboardInterrupt

    def retell(unraisable: Any) -> None:
        nonlocal since
        if not (state.told and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            dropped(unraisable)
            return
        since = -math.inf  # the signal of the timer is to be heard
        timer = threading.Timer(RETOLD, signal.raise_signal, [last])
        timer.daemon = True
        timers.append(timer)
        timer.start()

    before = {number: signal.signal(number, stop) for number in numbers}
    sys.unraisablehook = retell
    _current.append(state)
    try:
        yield state
    finally:
        _current.remove(state)
        sys.unraisablehook = dropped
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
