"""Make the C library's allocator keep freed memory for reuse.

By default glibc gets every large block from the kernel and returns it at once. A network requests
the same hundred large blocks for every frame, so the kernel clears the same pages again and again.
That takes a sixth of a frame's time.
"""

from __future__ import annotations

import ctypes
import functools
import sys

# Parameters of mallopt, from <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MMAP_THRESHOLD = 32 << 20
"""Bytes; smaller blocks are kept after they are freed. The maximum that glibc allows."""
TRIM_THRESHOLD = 1 << 30
"""Bytes of free memory that are not returned to the kernel."""
TOP_PAD = 64 << 20
"""Bytes requested from the kernel beyond the present need."""


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed blocks for the rest of this process.

    Returns:
        True if the allocator accepted the settings; False where it is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (M_MMAP_THRESHOLD, MMAP_THRESHOLD),
        (M_TRIM_THRESHOLD, TRIM_THRESHOLD),
        (M_TOP_PAD, TOP_PAD),
    )
    # Collected first, so that each setting is made, also after a refusal.
    accepted = [mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)
