"""Measure the pipeline on a CUDA device: stage times, batch sizes, float32 and bfloat16.

    python benchmarks/speed/gpu.py [VIDEO] [--batches 1,8,32] [--tracker-weights NAME] [--rounds 2]

Two tables are printed. The first has whole runs of `facetrack track` (CSV, no overlay) on VIDEO
(default: the example clip), in each precision: milliseconds a frame by stage, and frames a second
from the file to the table. The second has the tracker's network alone on noise of 256 x 256 pixels,
in each precision and for each number of frames at once.

The first run on a device also loads the CUDA libraries, so each run is repeated and the fastest
counts. Without a CUDA device the script says so and ends with exit code 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from facetrack.api.compare import example_clip
from facetrack.bench import network_speed, run_speed
from facetrack.detectors import DetectorOptions
from facetrack.pipeline.options import Options
from facetrack.runtime.device import choose_precision
from facetrack.trackers.base import TrackerOptions
from facetrack.weights import resolve

PRECISIONS = ("float32", "bfloat16")
DEVICE = "cuda"


def measure_runs(video: Path, weights: str, rounds: int) -> None:
    """Print the fastest run in each precision, stage by stage."""
    speeds = {}
    for precision in PRECISIONS:
        options = Options(
            detector_options=DetectorOptions(device=DEVICE, precision=precision),
            tracker_options=TrackerOptions(weights=weights, device=DEVICE, precision=precision),
        )
        runs = [run_speed(video, options, overlay=False) for _ in range(rounds)]
        speeds[precision] = min(runs, key=lambda run: run.total)
    print("| milliseconds a frame | " + " | ".join(speeds) + " |")
    print("|---" + "|---:" * len(speeds) + "|")
    for stage in next(iter(speeds.values())).milliseconds:
        cells = (f"{speed.milliseconds[stage]:.2f}" for speed in speeds.values())
        print(f"| {stage} | " + " | ".join(cells) + " |")
    cells = (f"{speed.frames_per_second:.1f}" for speed in speeds.values())
    print("| frames a second, end to end | " + " | ".join(cells) + " |\n", flush=True)


def measure_network(weights: str, batches: list[int]) -> None:
    """Print the network's frames a second in each precision and for each batch size."""
    device = torch.device(DEVICE)
    path = resolve("tapir", weights).path
    print("| frames at once | precision | frames a second | share of the device's ceiling |")
    print("|---:|---|---:|---:|")
    for batch in batches:
        for precision in PRECISIONS:
            dtype = choose_precision(precision, device, True)
            speed = network_speed(
                path, weights, dtype, device, frames_at_once=batch, frames=8 * batch
            )
            fps, share = speed.frames_per_second, 100 * speed.share
            print(f"| {batch} | {precision} | {fps:.1f} | {share:.1f} % |", flush=True)


def main() -> None:
    """Parse the options and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?", help="default: the example clip")
    parser.add_argument("--batches", default="1,8,32", help="frames at once, comma-separated")
    parser.add_argument("--tracker-weights", default="tapir-s")
    parser.add_argument("--rounds", type=int, default=2, help="runs; the fastest counts")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was measured.")
        return
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    measure_runs(options.video or example_clip(), options.tracker_weights, options.rounds)
    measure_network(options.tracker_weights, [int(n) for n in options.batches.split(",")])


if __name__ == "__main__":
    main()
