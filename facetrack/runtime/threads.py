"""The processor's cores, and how they are shared out."""

from __future__ import annotations

import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

SPINS = 2000
"""Turns for which a thread waits for the others before it sleeps; GNU OpenMP's own 300,000 are some
milliseconds. On a machine whose cores are all busy the others are often not running: waiting then
takes from them the time that they would need (`benchmarks/busy.py`)."""


def cores() -> int:
    """How many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def granted() -> int | None:
    """How many threads OMP_NUM_THREADS grants a library; None if it does not say."""
    own = os.environ.get(THREAD_VARIABLES[0], "")
    return int(own) if own.isascii() and own.isdigit() and int(own) else None


def share_cores(threads: int) -> None:
    """Let libraries use so many threads each, unless OMP_NUM_THREADS says otherwise."""
    import cv2

    threads = granted() or threads
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    cv2.setNumThreads(threads)


def wait_briefly() -> None:
    """Let the threads of libraries that are not loaded yet wait for SPINS turns at most, unless the
    environment says how they are to wait."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
