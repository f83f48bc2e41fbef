"""Handle requests to stop, from Ctrl-C or a batch system, without cutting a clean-up short."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

RERAISE_DELAY = 0.05
"""Seconds after which an interrupt that Python dropped is raised again."""


class StopState:
    """Whether this process was asked to stop.

    Attributes:
        requested: True once a signal has arrived.
        deferred: True while the running code polls `requested` itself, so that the first signal
            raises nothing.
    """

    requested = False
    deferred = False


_current: list[StopState] = []


@contextlib.contextmanager
def defer_interrupts() -> Iterator[StopState]:
    """Raise no KeyboardInterrupt for a first signal: the caller polls `requested` instead.

    A second signal still raises KeyboardInterrupt. Without an enclosing `interruptible` this has no
    effect.
    """
    state = _current[-1] if _current else StopState()
    before, state.deferred = state.deferred, True
    try:
        yield state
    finally:
        state.deferred = before


@contextlib.contextmanager
def interruptible(
    numbers: Iterable[signal.Signals], patience: float = math.inf
) -> Iterator[StopState]:
    """Raise KeyboardInterrupt in the main thread when one of these signals arrives.

    A process may receive a request twice, from its terminal and from its parent process. Signals
    within `patience` seconds of the first are therefore ignored: they would cut short the clean-up
    that the first one started. Python drops exceptions raised in a finalizer, where nothing can
    catch them; an interrupt dropped there is raised again soon after, without a traceback.

    Args:
        numbers: the signals to handle.
        patience: seconds after the first signal; later signals raise KeyboardInterrupt again.
    """
    state = StopState()
    requested_at = -math.inf
    last_signal = signal.SIGINT
    previous_hook = sys.unraisablehook
    timers: list[threading.Timer] = []

    def stop(number: int, frame: Any) -> None:
        nonlocal requested_at, last_signal
        now = time.monotonic()
        if state.requested and now - requested_at < patience:
            return
        first = not state.requested
        state.requested, requested_at, last_signal = True, now, signal.Signals(number)
        if not (first and state.deferred):
            raise KeyboardInterrupt

    def raise_again(unraisable: Any) -> None:
        nonlocal requested_at
        if not (state.requested and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            previous_hook(unraisable)
            return
        requested_at = -math.inf  # so that `stop` does not ignore the timer's signal
        timer = threading.Timer(RERAISE_DELAY, signal.raise_signal, [last_signal])
        timer.daemon = True
        timers.append(timer)
        timer.start()

    before = {number: signal.signal(number, stop) for number in numbers}
    sys.unraisablehook = raise_again
    _current.append(state)
    try:
        yield state
    finally:
        _current.remove(state)
        sys.unraisablehook = previous_hook
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
