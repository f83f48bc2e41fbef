"""Measure the speed of a point tracker's network, absolutely and relative to the processor's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from facetrack.bench.clock import Clock
from facetrack.runtime import onednn
from facetrack.runtime.device import precision_name
from facetrack.trackers.tapir import TAPIR, checkpoint
from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.mixer import empty_cache
from facetrack.trackers.tapir.network import TapirNetwork

_METHODS = {"extract_features": "features", "match": "matching", "refine": "refinement"}
STAGES = tuple(_METHODS.values())
"""Names of the stages, one per method of the network."""
MATRIX = 2048
"""Side of the square matrices whose product measures the processor's speed."""


@dataclass(frozen=True)
class NetworkSpeed:
    """The speed of a network.

    Attributes:
        name: of the weights.
        precision: of convolutions and linear layers.
        points, frames_at_once: number of points, and of frames per call.
        milliseconds: per frame, by stage; "other" is the time between the stages.
        gigaflops: multiplications and additions per frame of the network as published, in 1e9.
        ceiling: 1e9 of them per second in a product of large matrices, measured in the same run.
    """

    name: str
    precision: str
    points: int
    frames_at_once: int
    milliseconds: dict[str, float]
    gigaflops: float
    ceiling: float

    @property
    def frames_per_second(self) -> float:
        """Frames per second."""
        return 1000 / sum(self.milliseconds.values())

    @property
    def share(self) -> float:
        """Fraction of the ceiling that is reached.

        It may exceed 1 if an algorithm needs fewer multiplications than the published one.
        """
        return self.gigaflops * self.frames_per_second / self.ceiling


@contextmanager
def timing_stages(clock: Clock, network: TapirNetwork, within: str | None = None) -> Iterator[None]:
    """Measure the time of each of STAGES while in the context, or `within` another stage only."""
    with ExitStack() as stack:
        for method, stage in _METHODS.items():
            stack.enter_context(clock.timing(network, method, stage, within))
        yield


def network_speed(
    path: Path,
    name: str,
    precision: torch.dtype,
    device: torch.device,
    points: int = 68,
    frames_at_once: int = 8,
    frames: int = 24,
) -> NetworkSpeed:
    """Time a checkpoint on noise images of RESOLUTION x RESOLUTION pixels.

    The image content does not affect the speed.

    Args:
        path: a TAPIR checkpoint; causal ones are streamed, others get clips of `frames_at_once`.
        name: of the weights.
        precision: of convolutions and linear layers.
        device: the device.
        points: number of points.
        frames_at_once: number of frames per call.
        frames: number of timed frames, after an untimed first call.

    Raises:
        FacetrackError: the file is not a TAPIR checkpoint.
    """
    network = checkpoint.load(path, None, None)
    flops = gigaflops(network, points)  # before TAPIR replaces its convolutions
    tapir = TAPIR(network, device, precision)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (frames_at_once, RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    places = rng.uniform(0.1 * RESOLUTION, 0.9 * RESOLUTION, (points, 2))
    state = tapir.start(images[0], places)
    tapir.step(state, images)
    clock = Clock(device)
    steps = max(1, -(-frames // frames_at_once))
    with timing_stages(clock, network):
        start = clock.now()
        for _ in range(steps):
            tapir.step(state, images)
        total = clock.now() - start
    per_frame = {s: 1000 * clock.seconds[s] / (steps * frames_at_once) for s in STAGES}
    per_frame["other"] = 1000 * total / (steps * frames_at_once) - sum(per_frame.values())
    return NetworkSpeed(
        name,
        precision_name(precision),
        points,
        frames_at_once,
        per_frame,
        flops,
        ceiling(precision, device),
    )


@torch.inference_mode()
def gigaflops(network: TapirNetwork, points: int) -> float:
    """Return 1e9 operations per frame by the network's definition, with direct convolutions."""
    network.eval()
    frame = torch.zeros(1, 3, RESOLUTION, RESOLUTION)
    places = torch.full((1, points, 3), RESOLUTION / 2)
    places[..., 0] = 0
    maps = network.extract_features(frame)
    grid = FeatureMaps(*(m[None] for m in maps))
    queries = network.get_query_features([grid, grid], places)
    config, size = network.config, (RESOLUTION, RESOLUTION)
    caches = [empty_cache(config, points, frame.device) for _ in range(config.iterations)]
    with FlopCounterMode(display=False) as counter:
        network.extract_features(frame)
        match = network.match(queries, grid)
        level = 0 if config.motion_inputs else 1
        network.refine(
            queries, grid, level, match, match.estimate, caches if config.causal else None, size
        )
    return counter.get_total_flops() / 1e9


@torch.inference_mode()
def ceiling(precision: torch.dtype, device: torch.device) -> float:
    """Measure 1e9 operations per second of a product of large matrices, the best of several."""
    clock = Clock(device)
    matrix = torch.ones(MATRIX, MATRIX, dtype=precision, device=device)
    best = float("inf")
    for _ in range(6):
        start = clock.now()
        onednn.matmul_transposed(matrix, matrix)
        best = min(best, clock.now() - start)
    return 2 * MATRIX**3 / best / 1e9
