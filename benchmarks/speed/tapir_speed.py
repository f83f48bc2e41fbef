"""Compare the speed of facetrack's TAPIR with the same network computed as written.

    python benchmarks/speed/tapir_speed.py [--checkpoint FILE] [--points 68] [--rounds 3]
        [--threads 2]

Causal BootsTAPIR at 256 x 256, streamed, with random weights unless a checkpoint is named: speed
does not depend on them. "As written" is the network in the order of the papers and of the official
PyTorch code: one frame at a time, channels first, direct convolutions, patches of whole features
interpolated at each of their 49 places, grouped one-dimensional convolutions over time. It gives
the same points, which is checked. The methods take turns in one run, so that another job on the
machine slows all of them. Figures are medians over the rounds, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.bench.clock import Clock
from facetrack.bench.networks import STAGES, ceiling, gigaflops, timing_stages
from facetrack.trackers.tapir import TAPIR, TapirConfig, checkpoint
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.mixer import KERNEL, MixerCache
from facetrack.trackers.tapir.network import TapirNetwork

CAUSAL_BOOTS = TapirConfig(pyramid_level=1, extra_conv_blocks=5, causal=True)


def correlate(
    network: TapirNetwork, maps: Tensor, feature: Tensor, xy: Tensor, normalise: bool = False
) -> Tensor:
    """As `TapirNetwork._correlate`: every place of a patch is interpolated from all channels."""
    size = network.config.patch_size
    _, points, frames = xy.shape[:3]
    steps = torch.arange(size, dtype=torch.float32) - size // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cell = RESOLUTION / maps.shape[3]
    places = xy[0].transpose(0, 1)[:, :, None] + cell * torch.stack([x, y], -1).view(-1, 2)
    grid = places.view(frames, points * size * size, 1, 2) * (2 / RESOLUTION) - 1
    found = F.grid_sample(maps[0].permute(0, 3, 1, 2), grid, align_corners=False)
    found = found.view(frames, -1, points, size * size)
    wanted = feature[0].transpose(0, 1)
    return torch.einsum("tcnk,tnc->ntk", found, wanted)[None]


def mixed(block: Any, x: Tensor, points: int, cache: MixerCache | None, index: int) -> Tensor:
    """As a mixer block's forward, with grouped convolutions over (points, channels, time)."""

    def convolved(layer: Any, y: Tensor, key: str) -> Tensor:
        assert cache is not None
        y = torch.cat([cache[key], y], 1)
        cache[key] = y[:, -(KERNEL - 1) :]
        groups = layer.weight.shape[0] // layer.multiplier
        y = F.conv1d(y.transpose(1, 2), layer.weight, layer.bias, groups=groups)
        return y.transpose(1, 2)

    y = convolved(block.mlp1_up, block.layer_norm(x), f"block_{index}_causal_1")
    y = F.gelu(y, approximate="tanh")
    y = convolved(block.mlp1_up_1, y, f"block_{index}_causal_2")
    x = x + y[..., 0::4] + y[..., 1::4] + y[..., 2::4] + y[..., 3::4]
    return x + block.conv_channels_mixer(block.layer_norm_1(x))


class AsWritten(TAPIR):
    """The network, computed in the order of the papers."""

    def __init__(self, network: TapirNetwork) -> None:
        self.device, self.precision = torch.device("cpu"), torch.float32
        self.network, self.config = network, network.config
        self._autocasts, self.at_once = False, 64
        network._correlate = types.MethodType(correlate, network)  # type: ignore[method-assign]
        for block in network.torch_pips_mixer.blocks:
            block.forward = types.MethodType(mixed, block)

    def _input(self, frames: Tensor, size: tuple[int, int]) -> Tensor:
        return super()._input(frames, size).contiguous()


@dataclass
class Way:
    """A method that is timed."""

    title: str
    tapir: TAPIR
    at_once: int
    total: list[float]
    stages: list[dict[str, float]]


def pictures(frames: int) -> np.ndarray:
    """Return drifting smooth noise, (T, RESOLUTION, RESOLUTION, 3) uint8."""
    draw = np.random.default_rng(0)
    cells = draw.integers(0, 255, (RESOLUTION // 8 + 8, RESOLUTION // 8 + 8, 3))
    big = np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)
    return np.stack([big[2 * t :, t:][:RESOLUTION, :RESOLUTION] for t in range(frames)])


def run(way: Way, video: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Track once, timed, and return the points (N, T, 2)."""
    state = way.tapir.start(video[0], places)
    way.tapir.step(state, video[: way.at_once])  # not timed
    state = way.tapir.start(video[0], places)
    clock, found = Clock(torch.device("cpu")), []
    with timing_stages(clock, way.tapir.network):
        began = clock.now()
        for i in range(0, len(video), way.at_once):
            found.append(way.tapir.step(state, video[i : i + way.at_once]).tracks)
        way.total.append((clock.now() - began) / len(video))
    way.stages.append({s: 1000 * clock.seconds[s] / len(video) for s in STAGES})
    return np.concatenate(found, 1)


def main() -> None:
    """Parse the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="in the official layout, causal")
    parser.add_argument("--points", type=int, default=68)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    with tempfile.TemporaryDirectory() as folder:
        path = options.checkpoint
        if path is None:
            path = Path(folder) / "random.pt"
            torch.save(TapirNetwork(CAUSAL_BOOTS).state_dict(), path)

        def ours(precision: torch.dtype) -> TAPIR:
            return TAPIR.from_checkpoint(path, causal=True, precision=precision)

        ways = [
            Way("as written, float32", AsWritten(checkpoint.load(path, True, None)), 1, [], []),
            Way("float32, a frame at a time", ours(torch.float32), 1, [], []),
            Way("float32", ours(torch.float32), 8, [], []),
            Way("bfloat16, a frame at a time", ours(torch.bfloat16), 1, [], []),
            Way("bfloat16", ours(torch.bfloat16), 8, [], []),
        ]
        flops = gigaflops(checkpoint.load(path, True, None), options.points)
    video = pictures(options.frames)
    places = np.random.default_rng(1).uniform(20, 236, (options.points, 2))
    tracks: dict[str, np.ndarray] = {}
    for _ in range(options.rounds):
        for way in ways:
            tracks[way.title] = run(way, video, places)
    limits = {k: ceiling(k, torch.device("cpu")) for k in (torch.float32, torch.bfloat16)}
    first = float(np.median(ways[0].total))
    print(f"{flops:.1f} GFLOP a frame; a product of large matrices does ", end="")
    print(", ".join(f"{v:.0f} GFLOP/s in {str(k)[6:]}" for k, v in limits.items()))
    print("| | frames/s | times as written | features ms | matching ms | refinement ms |", end="")
    print(" share of the ceiling | px from as written, median | most |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    rows = []
    for way in ways:
        seconds = float(np.median(way.total))
        apart = np.linalg.norm(tracks[way.title] - tracks[ways[0].title], axis=-1)
        limit = limits[way.tapir.precision]
        spent = {s: float(np.median([each[s] for each in way.stages])) for s in STAGES}
        share = flops / seconds / limit
        row = {
            "way": way.title,
            "frames_per_second": 1 / seconds,
            "ratio": first / seconds,
            **spent,
            "share_of_ceiling": share,
            "median_px": float(np.median(apart)),
            "most_px": float(apart.max()),
        }
        rows.append(row)
        cells = " | ".join(f"{value:.0f}" for value in spent.values())
        print(
            f"| {way.title} | {1 / seconds:.2f} | {first / seconds:.2f} | {cells} | "
            f"{100 * share:.0f} % | {np.median(apart):.1e} | {apart.max():.1e} |"
        )
    if options.json:
        options.json.write_text(json.dumps({"gigaflops": flops, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
