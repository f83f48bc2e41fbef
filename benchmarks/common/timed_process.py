"""Run a program, and measure its time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Usage(NamedTuple):
    """What a program took.

    Attributes:
        seconds: from its start to its end.
        megabytes: peak resident memory of the largest of its processes; Linux never counts less
            than this process held when it started the program.
    """

    seconds: float
    megabytes: float


def run(command: Sequence[str], environment: Mapping[str, str], quiet: bool = False) -> Usage:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        environment: its environment variables.
        quiet: drop what it writes to standard error.

    Raises:
        SystemExit: it fails.
    """
    stderr = subprocess.DEVNULL if quiet else None
    began = time.perf_counter()
    process = subprocess.Popen(command, env=dict(environment), stderr=stderr)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    # Popen must know that nothing is left to wait for.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return Usage(seconds, usage.ru_maxrss / (1000 if sys.platform != "darwin" else 1e6))
