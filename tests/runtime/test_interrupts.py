"""Test that signals raise one KeyboardInterrupt, whatever Python is doing when they arrive."""

from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from facetrack.runtime.interrupts import defer_interrupts, interruptible

TERM = signal.SIGTERM


class StoppedInFinalizer:
    """Receives the signal in its finalizer, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(TERM)
        time.sleep(0)  # the handler runs between two instructions


def wait(seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_signal_interrupts() -> None:
    with interruptible([TERM]) as state:
        assert not state.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)
        assert state.requested


def test_a_second_signal_does_not_interrupt_the_clean_up() -> None:
    with interruptible([TERM]):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)
        signal.raise_signal(TERM)


def test_a_later_signal_interrupts_again() -> None:
    with interruptible([TERM], patience=0.0):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(TERM)


def test_an_interrupt_dropped_in_a_finalizer_is_raised_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with interruptible([TERM]) as state:
        instance = StoppedInFinalizer()
        del instance
        assert state.requested
        with pytest.raises(KeyboardInterrupt):
            wait()
    assert capfd.readouterr().err == ""


def test_other_dropped_errors_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: reported.append(raised.exc_type))

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    with interruptible([TERM]):
        instance = Broken()
        del instance
    assert reported == [ValueError]


def test_handlers_are_restored() -> None:
    before = signal.getsignal(TERM), sys.unraisablehook
    with interruptible([TERM]):
        assert signal.getsignal(TERM) != before[0]
    assert (signal.getsignal(TERM), sys.unraisablehook) == before


def test_no_signal_is_raised_after_the_end() -> None:
    before = signal.signal(TERM, lambda number, frame: pytest.fail("raised after the end"))
    try:
        with interruptible([TERM]):
            instance = StoppedInFinalizer()
            del instance
        wait(0.2)
    finally:
        signal.signal(TERM, before)


def test_a_deferred_first_signal_does_not_interrupt() -> None:
    with interruptible([TERM], patience=0.0), defer_interrupts() as state:
        signal.raise_signal(TERM)
        assert state.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)


def test_after_a_deferral_signals_interrupt_again() -> None:
    with interruptible([TERM]):
        with defer_interrupts():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)


def test_deferring_without_handlers_has_no_effect() -> None:
    with defer_interrupts() as state:
        assert not state.requested


def test_a_deferred_signal_interrupts_once_the_deferral_is_lifted() -> None:
    with interruptible([TERM]), defer_interrupts() as state:
        with defer_interrupts() as inner:
            signal.raise_signal(TERM)
            with inner.lifted():  # the outer deferral still holds
                pass
        with pytest.raises(KeyboardInterrupt), state.lifted():
            pytest.fail("the work has begun")


def test_a_signal_that_the_caller_has_handled_does_not_interrupt_later_work() -> None:
    with interruptible([TERM]):
        with defer_interrupts() as state:
            signal.raise_signal(TERM)
            assert state.requested
        with defer_interrupts() as later, later.lifted():
            pass


def test_a_lifted_deferral_lets_signals_interrupt() -> None:
    with interruptible([TERM]), defer_interrupts() as state:  # noqa: SIM117
        with state.lifted(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)


def test_other_threads_do_not_defer() -> None:
    with interruptible([TERM]), ThreadPoolExecutor(1) as pool:
        deferral = defer_interrupts()
        pool.submit(deferral.__enter__).result()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)
        pool.submit(deferral.__exit__, None, None, None).result()


def test_an_interrupt_dropped_in_a_finalizer_does_not_cut_a_clean_up_short() -> None:
    with interruptible([TERM]), defer_interrupts() as state:
        with state.lifted():
            instance = StoppedInFinalizer()
            del instance
        wait(0.2)
        with pytest.raises(KeyboardInterrupt), state.lifted():
            pytest.fail("the work goes on")


def test_the_import_system_is_not_interrupted() -> None:
    code = "def import_module():\n    raise_signal(TERM)\n    done.append(True)\n"
    done: list[bool] = []
    names: dict[str, Any] = {"raise_signal": signal.raise_signal, "TERM": TERM, "done": done}
    exec(compile(code, "<frozen importlib._bootstrap>", "exec"), names)
    with interruptible([TERM]):
        names["import_module"]()
        assert done
        with pytest.raises(KeyboardInterrupt):
            wait()
