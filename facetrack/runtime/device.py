"""Which device, and which precision on it."""

from __future__ import annotations

import torch

from facetrack.errors import FacetrackError

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes a CUDA GPU where there is one, else the CPU.

    Raises:
        FacetrackError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise FacetrackError(
            f"there is no device '{name}' here; use --device auto or cpu"
        ) from error
    return device


def name_of(precision: torch.dtype) -> str:
    """As it is called in PRECISIONS."""
    return str(precision).removeprefix("torch.")


def round_weights(network: torch.nn.Module, precision: torch.dtype, *others: type) -> None:
    """Keep a network's convolutions and linear layers, and layers of `others`, in `precision`: once
    here rather than by autocast in every call. Norms stay in float32."""
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, *others)):
            module.to(precision)


def choose_precision(name: str, device: torch.device, trained_for_it: bool) -> torch.dtype:
    """The number format of convolutions and linear layers.

    "auto" takes bfloat16 for networks trained with it where the hardware multiplies it fast, and
    float32 otherwise.

    Raises:
        FacetrackError: an unknown name.
    """
    if name not in PRECISIONS:
        raise FacetrackError(f"no precision '{name}'; choose one of: {', '.join(PRECISIONS)}")
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if not trained_for_it:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Without these instructions bfloat16 is emulated, several times slower than float32.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and supported() else torch.float32
