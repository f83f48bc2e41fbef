"""The processor's cores, and how they are shared out."""

from __future__ import annotations

import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
