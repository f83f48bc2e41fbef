"""Share the processor's cores between processes and libraries."""

from __future__ import annotations

import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

SPIN_COUNT = 2000
"""Iterations that a thread spins while it waits for others, before it sleeps. GNU OpenMP's default
of 300,000 takes some milliseconds. On a machine whose cores are all busy, the threads waited for
are often not running, and spinning takes the time that they need (`benchmarks/speed/busy.py`)."""


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def requested_threads() -> int | None:
    """Return the thread count set in OMP_NUM_THREADS; None if it is unset or not a number."""
    value = os.environ.get(THREAD_VARIABLES[0], "")
    return int(value) if value.isascii() and value.isdigit() and int(value) else None


def limit_threads(threads: int) -> None:
    """Limit every library to `threads` threads, unless OMP_NUM_THREADS sets another number."""
    import cv2

    threads = requested_threads() or threads
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    cv2.setNumThreads(threads)


def limit_spinning() -> None:
    """Limit spinning to SPIN_COUNT iterations in libraries that are loaded after this call.

    OMP_WAIT_POLICY and GOMP_SPINCOUNT, where the user sets them, take precedence.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))
