"""Bound the memory of PyTorch's caches of compiled kernels on a CPU.

oneDNN compiles a kernel for each size of a network's input, and PyTorch and oneDNN keep the last
1,024 of them each, of some 0.25 MB. The number of points that a network looks at changes from frame
to frame, so memory grew by 22 MB per 1,000 frames (`benchmarks/checks/memory.py`).
"""

from __future__ import annotations

import os

CAPACITY = 128
"""Kernels that each cache keeps."""
_VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def limit_kernel_caches() -> None:
    """Limit the caches to CAPACITY kernels, unless the environment sets other numbers.

    oneDNN reads its number with the first kernel, PyTorch its own when it is imported.
    """
    for name in _VARIABLES:
        os.environ.setdefault(name, str(CAPACITY))
