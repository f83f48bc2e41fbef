"""Programs are timed, and their memory is what they held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.common import timed_process

ROOT = Path(__file__).parents[2]


def test_memory_is_the_peak_of_the_program() -> None:
    # In a process of its own: this one may hold more than the program.
    program = [sys.executable, "-c", "b'x' * 400_000_000"]
    script = (
        "import os; from benchmarks.common import timed_process; "
        f"print(timed_process.run({program!r}, os.environ).megabytes)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert 390 < float(ran.stdout) < 600


def test_a_program_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="failed"):
        timed_process.run([sys.executable, "-c", "1 / 0"], os.environ, quiet=True)
    assert not capfd.readouterr().err
