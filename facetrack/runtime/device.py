"""Choose the device and the floating-point precision."""

from __future__ import annotations

import os

import torch

from facetrack.errors import FacetrackError

PRECISIONS = ("auto", "float32", "bfloat16")
WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}
"""Values of ONEDNN_MAX_CPU_ISA that exclude the instructions of bfloat16."""


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a CUDA GPU if available, else the CPU.

    Raises:
        FacetrackError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # tensors of "meta" have no values
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise FacetrackError(
            f"There is no device '{name}' here; use --device auto or cpu."
        ) from error
    return device


def precision_name(precision: torch.dtype) -> str:
    """Return the name of a data type as in PRECISIONS."""
    return str(precision).removeprefix("torch.")


def cast_weights(network: torch.nn.Module, precision: torch.dtype, *extra_types: type) -> None:
    """Convert the weights of convolutions and linear layers to `precision`, in place.

    Converting once saves autocast the conversion in every call. Normalisation layers stay in
    float32.

    Args:
        extra_types: further layer types to convert.
    """
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, *extra_types)):
            module.to(precision)


def choose_precision(name: str, device: torch.device, trained_for_it: bool) -> torch.dtype:
    """Return the data type for convolutions and linear layers.

    "auto" is bfloat16 for networks trained with it, on hardware that multiplies it fast, and
    float32 otherwise.

    Args:
        name: one of PRECISIONS.
        trained_for_it: True if the network was trained with bfloat16.

    Raises:
        FacetrackError: `name` is unknown.
    """
    if name not in PRECISIONS:
        raise FacetrackError(f"There is no precision '{name}'; choose {', '.join(PRECISIONS)}.")
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if not trained_for_it:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if device.type == "cpu" and multiplies_bfloat16() else torch.float32


def multiplies_bfloat16() -> bool:
    """Return True if the processor has bfloat16 instructions and PyTorch may use them.

    Elsewhere, bfloat16 is emulated, several times slower than float32. The environment variables
    that limit the instructions of PyTorch and of oneDNN count, as they do in both libraries.
    """
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    limits = (os.environ.get(f"{name}_MAX_CPU_ISA", "") for name in ("ONEDNN", "DNNL"))
    return (
        bool(supported())
        and torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
        and not any(limit.upper() in WITHOUT_BFLOAT16 for limit in limits)
    )
