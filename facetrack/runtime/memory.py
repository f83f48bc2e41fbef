"""Measure the memory of this process."""

from __future__ import annotations

import sys


def peak_memory() -> float:
    """Return the peak resident memory of this process in MB (10^6 bytes).

    NaN on Windows, which does not report it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes of 1024 bytes, macOS bytes.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
