"""Choose the floating-point format of training."""

from __future__ import annotations

import torch

from facetrack.runtime.device import choose_precision


def autocast(device: torch.device) -> torch.autocast:
    """Run the networks of a `with` block in the fastest format of the hardware.

    That is bfloat16 where the processor or the GPU multiplies it natively, and float32 elsewhere:
    emulated bfloat16 is several times slower.
    """
    precision = choose_precision("auto", device, trained_for_it=True)
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)


def in_float32(device: torch.device) -> torch.autocast:
    """Run a `with` block in float32, also within `autocast`."""
    return torch.autocast(device.type, enabled=False)
