"""Measure the memory of this process."""

from __future__ import annotations

import sys


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB; NaN where the system does not
    say."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes of 1024, macOS bytes.
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
