"""How fast a point tracker's network is by itself, and how near to what the processor can do."""

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

_METHODS = {"features": "features", "match": "matching", "refine": "refinement"}
STAGES = tuple(_METHODS.values())
"""How what the network's methods do is called."""
MATRIX = 2048
"""Side of the square matrices whose product says what the processor can do."""


@dataclass(frozen=True)
class NetworkSpeed:
    """Attributes:
    name: of the weights.
    precision: of convolutions and linear layers.
    points, frames_at_once: the work.
    milliseconds: a frame, by stage; "other" is what lies between the stages.
    gigaflops: multiplications and additions a frame of the network as published, in 1e9.
    ceiling: 1e9 of them a second in a product of large matrices, measured in the same run.
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
        """Frames a second."""
        return 1000 / sum(self.milliseconds.values())

    @property
    def share(self) -> float:
        """Share of the ceiling that is reached; can be above 1 where an algorithm needs fewer
        multiplications than the published one."""
        return self.gigaflops * self.frames_per_second / self.ceiling


@contextmanager
def listening(clock: Clock, network: TapirNetwork) -> Iterator[None]:
    """Meanwhile count the time of each of STAGES."""
    with ExitStack() as stack:
        for method, stage in _METHODS.items():
            stack.enter_context(clock.listening(network, method, stage))
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
    """Time a checkpoint on noise of RESOLUTION x RESOLUTION pixels: what is in the picture does not
    matter to the work.

    Args:
        path: a TAPIR checkpoint; causal ones are streamed, others get clips of `frames_at_once`.
        frames: how many are timed, after a stretch that is not.

    Raises:
        FacetrackError: it is no TAPIR checkpoint.
    """
    network = checkpoint.load(path, None, None)
    flops = gigaflops(network, points)  # before its convolutions are computed otherwise
    tapir = TAPIR(network, device, precision)
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 255, (frames_at_once, RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    places = draw.uniform(0.1 * RESOLUTION, 0.9 * RESOLUTION, (points, 2))
    state = tapir.start(pictures[0], places)
    tapir.step(state, pictures)
    clock = Clock(device)
    steps = max(1, -(-frames // frames_at_once))
    with listening(clock, network):
        began = clock.now()
        for _ in range(steps):
            tapir.step(state, pictures)
        total = clock.now() - began
    per = {s: 1000 * clock.seconds[s] / (steps * frames_at_once) for s in STAGES}
    per["other"] = 1000 * total / (steps * frames_at_once) - sum(per.values())
    return NetworkSpeed(
        name, precision_name(precision), points, frames_at_once, per, flops, ceiling(precision, device)
    )


@torch.inference_mode()
def gigaflops(network: TapirNetwork, points: int) -> float:
    """Of one frame, by the network's definition: direct convolutions, nothing left out."""
    network.eval()
    frame = torch.zeros(1, 3, RESOLUTION, RESOLUTION)
    places = torch.full((1, points, 3), RESOLUTION / 2)
    places[..., 0] = 0
    maps = network.features(frame)
    grid = FeatureMaps(*(m[None] for m in maps))
    queries = network.query_features([grid, grid], places)
    config, size = network.config, (RESOLUTION, RESOLUTION)
    caches = [empty_cache(config, points, frame.device) for _ in range(config.iterations)]
    with FlopCounterMode(display=False) as counter:
        network.features(frame)
        match = network.match(queries, grid)
        level = 0 if config.motion_inputs else 1
        network.refine(
            queries, grid, level, match, match.estimate, caches if config.causal else None, size
        )
    return counter.get_total_flops() / 1e9


@torch.inference_mode()
def ceiling(precision: torch.dtype, device: torch.device) -> float:
    """1e9 multiplications and additions a second of a product of large matrices: the best of
    several."""
    clock = Clock(device)
    matrix = torch.ones(MATRIX, MATRIX, dtype=precision, device=device)
    best = float("inf")
    for _ in range(6):
        began = clock.now()
        onednn.matmul_transposed(matrix, matrix)
        best = min(best, clock.now() - began)
    return 2 * MATRIX**3 / best / 1e9
