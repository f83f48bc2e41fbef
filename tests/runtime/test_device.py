"""The precision follows the instructions that the processor may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from facetrack.errors import FacetrackError
from facetrack.runtime import device

CPU = torch.device("cpu")


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend that the processor multiplies bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", ["meta", "hpu", "privateuseone", "cuda:99", "nonsense", ""])
def test_a_device_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(FacetrackError, match=f"^There is no device '{name}' here"):
        device.choose_device(name)


def test_bfloat16_where_it_is_fast(capable: pytest.MonkeyPatch) -> None:
    assert device.choose_precision("auto", CPU, True) == torch.bfloat16
    assert device.choose_precision("auto", CPU, False) == torch.float32


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize("limit", ["AVX2", "avx512_core"])
def test_a_limit_of_onednn_counts(capable: pytest.MonkeyPatch, name: str, limit: str) -> None:
    capable.setenv(name, limit)
    assert device.choose_precision("auto", CPU, True) == torch.float32
    assert device.choose_precision("bfloat16", CPU, True) == torch.bfloat16


def test_a_limit_that_includes_bfloat16_does_not(capable: pytest.MonkeyPatch) -> None:
    capable.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    assert device.choose_precision("auto", CPU, True) == torch.bfloat16


def test_a_limit_of_pytorch_counts() -> None:
    code = (
        "import torch; from facetrack.runtime import device; "
        "torch.cpu._is_avx512_bf16_supported = lambda: True; "
        "print(device.choose_precision('auto', torch.device('cpu'), True))"
    )
    limited = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=limited, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "torch.float32"
