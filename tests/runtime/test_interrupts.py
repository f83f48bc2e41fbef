"""Signals become one KeyboardInterrupt, whatever Python is doing when they come."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest

from facetrack.runtime.interrupts import deferred, interruptible

TERM = signal.SIGTERM


class Finalized:
    """Is told to stop while it is being finalized, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(TERM)
        time.sleep(0)  # the handler runs between two instructions


def wait(seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_signal_interrupts() -> None:
    with interruptible([TERM]) as interruptions:
        assert not interruptions.told
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)
        assert interruptions.told


def test_a_second_signal_does_not_cut_the_cleaning_up_short() -> None:
    with interruptible([TERM]):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)
        signal.raise_signal(TERM)


def test_a_later_signal_interrupts_again() -> None:
    with interruptible([TERM], patience=0.0):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(TERM)


def test_what_a_finalizer_drops_is_raised_again(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible([TERM]) as interruptions:
        thing = Finalized()
        del thing
        assert interruptions.told
        with pytest.raises(KeyboardInterrupt):
            wait()
    assert capfd.readouterr().err == ""


def test_other_dropped_errors_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: heard.append(raised.exc_type))

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    with interruptible([TERM]):
        thing = Broken()
        del thing
    assert heard == [ValueError]


def test_everything_is_as_before_afterwards() -> None:
    before = signal.getsignal(TERM), sys.unraisablehook
    with interruptible([TERM]):
        assert signal.getsignal(TERM) != before[0]
    assert (signal.getsignal(TERM), sys.unraisablehook) == before


def test_no_signal_comes_after_the_end() -> None:
    before = signal.signal(TERM, lambda number, frame: pytest.fail("told after the end"))
    try:
        with interruptible([TERM]):
            thing = Finalized()
            del thing
        wait(0.2)
    finally:
        signal.signal(TERM, before)


def test_whoever_looks_by_itself_is_not_interrupted_at_once() -> None:
    with interruptible([TERM], patience=0.0), deferred() as interruptions:
        signal.raise_signal(TERM)
        assert interruptions.told
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)


def test_after_a_deferral_signals_interrupt_again() -> None:
    with interruptible([TERM]):
        with deferred():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(TERM)


def test_nothing_is_deferred_where_nothing_is_handled() -> None:
    with deferred() as interruptions:
        assert not interruptions.told
