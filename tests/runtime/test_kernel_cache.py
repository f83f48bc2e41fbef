"""Memory does not grow with the number of different sizes that a network sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facetrack.runtime.kernel_cache import CAPACITY, limit_kernel_caches

MEASURE = """
import ctypes, sys
from facetrack.runtime.kernel_cache import limit_kernel_caches
if sys.argv[1] == "limited":
    limit_kernel_caches()
import torch

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
weights = torch.randn(16, 16, 3, 3)
used = []
with torch.inference_mode():
    for size in range(1, 401):
        torch.nn.functional.conv2d(torch.randn(size, 16, 9, 9), weights)
        if size in (200, 400):
            used.append(mallinfo2().h)
print(used[1] - used[0])
"""


def growth(how: str) -> int:
    """Bytes in use after 400 sizes, minus those after 200."""
    command = [sys.executable, "-c", MEASURE, how]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "mallinfo2" in ran.stderr:
        pytest.skip("needs glibc 2.33 or newer")
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.slow
def test_sizes_do_not_add_up() -> None:
    limited, unlimited = growth("limited"), growth("unlimited")
    if unlimited < 5e6:
        pytest.skip("this build of PyTorch keeps no kernels")
    assert limited < unlimited / 10


def test_the_user_s_numbers_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    limit_kernel_caches()
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == str(CAPACITY)
