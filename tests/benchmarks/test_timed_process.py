"""Programs are timed, and their memory is what they held."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks.common import timed_process


def test_memory_is_the_peak_of_the_program() -> None:
    command = [sys.executable, "-c", "b'x' * 400_000_000"]
    usage = timed_process.run(command, os.environ)
    assert 390 < usage.megabytes < 600
    assert usage.seconds > 0


def test_a_program_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="failed"):
        timed_process.run([sys.executable, "-c", "1 / 0"], os.environ, quiet=True)
    assert not capfd.readouterr().err
