"""Generate TAPIR weights from parameter names, as used for the golden outputs."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import torch

from facetrack.trackers.tapir import TapirConfig
from facetrack.trackers.tapir.compact import build_network

PANNING = TapirConfig()
CAUSAL_BOOTS = TapirConfig(pyramid_level=1, extra_conv_blocks=5, causal=True)
TINY_CAUSAL = replace(CAUSAL_BOOTS, extra_conv_blocks=1, mixer_blocks=2)


def synthetic_state(config: TapirConfig) -> dict[str, torch.Tensor]:
    """Generate the weights of the golden fixtures for every key of the network."""
    state = {}
    for key, value in build_network(config).state_dict().items():
        shape = tuple(value.shape)
        draw = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
        array = draw.astype(np.float32)
        if key.endswith(".weight") and len(shape) > 1:
            array = array / np.float32(np.sqrt(np.prod(shape[1:])))
        elif key.endswith(".weight"):
            array = 1 + np.float32(0.1) * array
        else:
            array = np.float32(0.1) * array
        state[key] = torch.from_numpy(array.astype(np.float32))
    return state


def noise_video(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return slowly drifting smooth noise (T, H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 255, (height // 8 + 4, width // 8 + 4, 3)).astype(np.uint8)
    big = np.kron(base, np.ones((8, 8, 1), np.uint8))
    return np.stack([big[2 * t : 2 * t + height, t : t + width] for t in range(frames)])
