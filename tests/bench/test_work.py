"""Counts the work of a frame: a change that makes it dearer must say so here, in seconds or not."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from facetrack.trackers.tapir import TAPIR, TAPIR_S, TapirConfig
from facetrack.trackers.tapir.compact import build_network

POINTS, FRAMES = 68, 4


class Count(TorchDispatchMode):
    """Counts calls of torch's operations, and the bytes that they make. What NumPy does for the
    points' common motion is not among them: 40 calls a frame and iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        tensors = [a for a in args if isinstance(a, torch.Tensor) and a.layout == torch.strided]
        given = {a.untyped_storage().data_ptr() for a in tensors}
        for one in made if isinstance(made, tuple | list) else [made]:
            # A view makes nothing.
            if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in given:
                self.bytes += one.numel() * one.element_size()
        return made


def _step(config: TapirConfig, precision: torch.dtype) -> Any:
    """A step over FRAMES frames that has been made once before."""
    torch.manual_seed(0)
    tapir = TAPIR(build_network(config).eval(), precision=precision)
    draw = np.random.default_rng(0)
    video = draw.integers(0, 255, (FRAMES, 256, 256, 3), dtype=np.uint8)
    state = tapir.start(video[0], draw.uniform(20, 236, (POINTS, 2)))
    tapir.step(state, video)
    return lambda: tapir.step(state, video)


@pytest.mark.parametrize(
    ("precision", "calls", "megabytes"),
    # In float32 GELU is five calls instead of one, which together take half as long.
    [(torch.bfloat16, 375, 40), (torch.float32, 445, 62)],
    ids=str,
)
def test_the_shipped_tracker_does_no_more_work_than_it_did(precision, calls, megabytes):
    step = _step(TAPIR_S, precision)
    with Count() as count:
        step()
    assert sum(count.calls.values()) / FRAMES <= calls, count.calls.most_common(20)
    assert count.bytes / FRAMES / 1e6 <= megabytes


def _of_onednn(x: Any, weight: Any, bias: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    if bias is not None and len(bias) == len(x):  # the residual comes before the weights
        weight = bias
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


OF_ONEDNN = {
    torch.ops.mkldnn._linear_pointwise: _of_onednn,
    torch.ops.mkldnn._convolution_pointwise: _of_onednn,
}


def _gigaflops(step: Any) -> float:
    """Multiplications and additions of a frame."""
    with FlopCounterMode(display=False, custom_mapping=OF_ONEDNN) as count:
        step()
    return count.get_total_flops() / FRAMES / 1e9


def test_the_shipped_tracker_multiplies_no_more_than_it_did():
    step = _step(TAPIR_S, torch.bfloat16)
    assert _gigaflops(step) <= 3.0


def test_a_published_network_multiplies_half_as_much_as_it_is_written_down():
    """Of 81.4e9: see `facetrack bench`."""
    step = _step(TapirConfig(pyramid_level=1, extra_conv_blocks=5, causal=True), torch.float32)
    assert _gigaflops(step) <= 41


def _imported(module: str, names: set[str]) -> list[str]:
    """Which of the modules `names` come with importing one."""
    program = f"import sys, {module}; print(*{names!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_help_imports_nothing_heavy():
    heavy = {"torch", "cv2", "dlib", "scipy", "numpy", "rich.table"}
    assert _imported("facetrack.cli", heavy) == []


def test_a_run_imports_no_more_than_it_needs():
    heavy = {"torch", "dlib", "scipy", "matplotlib", "pandas", "ray"}
    assert _imported("facetrack.api.track", heavy) == []
