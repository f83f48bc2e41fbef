"""Handle requests to stop, from Ctrl-C or a batch system, without cutting a clean-up short."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

RERAISE_DELAY = 0.05
"""Seconds after which an interrupt is raised again that could not be raised at once."""
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask a process to stop, for `interruptible`.

    A batch system's SIGTERM must leave as little behind as Ctrl-C. A signal that is ignored stays
    ignored: shells ignore SIGINT for background jobs.
    """
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


class StopState:
    """Whether this process was asked to stop.

    Attributes:
        requested: True once a signal has arrived.
        deferred: True while the first signal raises nothing.
        pending: True if it has arrived during the innermost deferral.
    """

    requested = False
    deferred = False
    pending = False

    def __init__(self) -> None:
        self._outer: list[bool] = []

    @contextlib.contextmanager
    def deferring(self) -> Iterator[StopState]:
        """Defer signals within the context."""
        self._outer.append(self.deferred)
        was_pending, self.pending = self.pending, False
        self.deferred = True
        try:
            yield self
        finally:
            self.pending = self.pending or was_pending
            self.deferred = self._outer.pop()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Lift the innermost deferral within the context.

        Raises:
            KeyboardInterrupt: a signal has arrived during the deferral; it is raised at the start.
        """
        if not self._outer:  # no deferral, see `defer_interrupts`
            yield
            return
        self.deferred = self._outer[-1]
        try:
            if self.pending and not self.deferred:
                self.pending = False
                raise KeyboardInterrupt
            yield
        finally:
            self.deferred = True


_current: list[StopState] = []


@contextlib.contextmanager
def defer_interrupts() -> Iterator[StopState]:
    """Raise no KeyboardInterrupt for a first signal: the caller polls `requested` instead.

    To protect a set-up and its clean-up, but not the work between them, do the work in
    `StopState.lifted`. A later signal still raises KeyboardInterrupt. This has no effect without an
    enclosing `interruptible`, or in another thread than the main one, where no signal is raised.
    """
    if not _current or threading.current_thread() is not threading.main_thread():
        yield _current[-1] if _current else StopState()
        return
    with _current[-1].deferring() as state:
        yield state


@contextlib.contextmanager
def interruptible(
    numbers: Iterable[signal.Signals], patience: float = math.inf
) -> Iterator[StopState]:
    """Raise KeyboardInterrupt in the main thread when one of these signals arrives.

    A process may receive a request twice, from its terminal and from its parent process. Signals
    within `patience` seconds of the first are therefore ignored: they would cut short the clean-up
    that the first one started. Python drops exceptions raised in a finalizer, where nothing can
    catch them; an interrupt dropped there is raised again soon after, without a traceback. In the
    code of the import system it is raised later, too: there it would leave the lock of all imports
    locked, and threads that import would wait for ever.

    Args:
        numbers: the signals to handle.
        patience: seconds after the first signal; later signals raise KeyboardInterrupt again.
    """
    state = StopState()
    requested_at = -math.inf
    last_signal = signal.SIGINT
    is_dropped = False
    previous_hook = sys.unraisablehook
    timers: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal requested_at, last_signal, is_dropped
        now = time.monotonic()
        if state.requested and now - requested_at < patience and not is_dropped:
            return
        first, is_dropped = is_dropped or not state.requested, False
        state.requested, requested_at, last_signal = True, now, signal.Signals(number)
        if first and state.deferred:
            state.pending = True
        elif frame is not None and frame.f_code.co_filename == _IMPORT_SYSTEM:
            raise_later()
        else:
            raise KeyboardInterrupt

    def raise_later() -> None:
        nonlocal is_dropped
        is_dropped = True  # so that `stop` does not ignore the timer's signal
        timer = threading.Timer(RERAISE_DELAY, signal.raise_signal, [last_signal])
        timer.daemon = True
        timers.append(timer)
        timer.start()

    def raise_again(unraisable: Any) -> None:
        if state.requested and issubclass(unraisable.exc_type, KeyboardInterrupt):
            raise_later()
        else:
            previous_hook(unraisable)

    before = {number: signal.signal(number, stop) for number in numbers}
    sys.unraisablehook = raise_again
    _current.append(state)
    try:
        yield state
    finally:
        state.deferred = True  # a timer may be about to raise an interrupt again
        _current.remove(state)
        sys.unraisablehook = previous_hook
        for timer in timers:
            timer.cancel()
            timer.join()
        for number, handler in before.items():
            signal.signal(number, handler)
