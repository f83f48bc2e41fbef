"""The C library's allocator, told to keep what it will be asked for again.

By default glibc takes every large block from the kernel and gives it back at once. A network asks
for the same hundred large blocks at each frame: the kernel then clears the same pages again and
again, which takes a sixth of a frame's time.
"""

from __future__ import annotations

import ctypes
import functools
import sys

# <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 32 << 20
"""Bytes up to which blocks are kept: the most that glibc allows."""
KEPT = 1 << 30
"""Bytes of free memory that are not given back."""
AHEAD = 64 << 20
"""Bytes asked of the kernel beyond what is needed."""


@functools.cache
def keep_blocks() -> bool:
    """Keep freed blocks for the rest of this process.

    Returns:
        Whether the allocator took it: only glibc knows how.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, AHEAD))
    taken = [mallopt(name, value) == 1 for name, value in wanted]  # each, also after a refusal
    return all(taken)
