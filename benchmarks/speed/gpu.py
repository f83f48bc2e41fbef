"""Check facetrack on a GPU against the processor, then measure its speed there: one command.

    python benchmarks/speed/gpu.py [VIDEO] [--json gpu.json] [--videos 1,2,4,8,16]
        [--points 68,478] [--batches 1,8,32] [--frames 240] [--device cuda]

Three tables are printed, and written with details of the machine to the JSON file:

1. Correctness: the same work on the processor in float32 and on the device, in each precision. The
   figures are distances in pixels: of the landmark networks' points in one picture, and of the
   points of a whole run of `facetrack track` on the first seconds of VIDEO. The script stops with
   exit code 1 where float32 differs by more than FLOAT32_PX in the median, or bfloat16 by more than
   BFLOAT16_PX.
2. The tracker's network alone on noise of 256 x 256 pixels, `tapir-s` and one of BootsTAPIR's size
   with random weights: frames a second, the largest amount of memory in use on the device, and the
   share of what the device does in a product of large matrices.
3. Whole runs of `facetrack track` (CSV, no overlay) on 1 to 16 copies of VIDEO, with as many jobs:
   frames a second of all together, from the first file to the last table, and the memory that is
   taken on the device. VIDEO is the example clip unless you name one; take a minute of your own.

Without the device the script says so and ends with exit code 0. `--device cpu` tries the script
itself.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facetrack import detectors
from facetrack.api.compare import example_clip
from facetrack.bench import network_speed
from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import hog_box
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.runtime.device import choose_precision, precision_name
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.tapir import TapirConfig
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.version import __version__
from facetrack.weights import resolve

PRECISIONS = ("float32", "bfloat16")
NETWORKS = ("star", "fan", "heatmap1d", "pipnet")
FLOAT32_PX, BFLOAT16_PX = 0.1, 1.0
"""Pixels between the device and the processor, in the median over points and frames."""
CHECKED_SECONDS = 4.0
"""Seconds of the video that are tracked on both."""
BOOTS_SIZE = TapirConfig(pyramid_level=1, extra_conv_blocks=5, causal=True)


def run_options(device: str, precision: str, end: float | None) -> Options:
    """Return the options of a default run on a device."""
    return Options(
        detector_options=DetectorOptions(device=device, precision=precision),
        tracker_options=TrackerOptions(device=device, precision=precision),
        end=end,
    )


def check(video: Path, device: str) -> list[dict[str, Any]]:
    """Compare the device with the processor; print and return the distances in pixels."""
    chunks = list(Pipeline(video, run_options("cpu", "float32", CHECKED_SECONDS)).run())
    reference = np.concatenate([chunk.tracks.xy for chunk in chunks])
    image, face = chunks[0].frames[0].image, chunks[0].tracks.xy[0, 0]
    print("| pixels from the processor's float32 | precision | median | most |")
    print("|---|---|---:|---:|", flush=True)
    rows = []
    for precision in PRECISIONS:
        found = {}
        for name in NETWORKS:
            pair = [
                detectors.create(name, DetectorOptions(device=on, precision=kind))
                for on, kind in (("cpu", "float32"), (device, precision))
            ]
            here, there = (each.detect(image, hog_box(face)[None]).xy for each in pair)
            found[f"`{name}`"] = np.linalg.norm(here - there, axis=-1)
        run = Pipeline(video, run_options(device, precision, CHECKED_SECONDS)).run()
        xy = np.concatenate([chunk.tracks.xy for chunk in run])
        found["`facetrack track`"] = np.linalg.norm(xy - reference, axis=-1)
        for what, distance in found.items():
            median, most = float(np.median(distance)), float(distance.max())
            print(f"| {what} | {precision} | {median:.4f} | {most:.3f} |", flush=True)
            limit = FLOAT32_PX if precision == "float32" else BFLOAT16_PX
            right = median <= limit  # False for NaN
            rows.append(
                {"what": what, "precision": precision, "median_px": median}
                | {"most_px": most, "right": right}
            )
    return rows


def measure_networks(
    device: torch.device, points: list[int], batches: list[int], frames: int
) -> list[dict[str, Any]]:
    """Print and return the speed of both networks for each number of points and frames."""
    print("\n| network | points | frames at once | precision | frames a second |", end="")
    print(" memory, MB | share of the device's ceiling |")
    print("|---|---:|---:|---|---:|---:|---:|", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        boots = Path(folder) / "causal_boots_size.pt"
        torch.manual_seed(0)
        torch.save(TapirNetwork(BOOTS_SIZE).state_dict(), boots)
        for name, path in (("tapir-s", resolve("tapir", "tapir-s").path), ("boots-size", boots)):
            for count in points:
                for batch in batches:
                    for precision in PRECISIONS:
                        dtype = choose_precision(precision, device, True)
                        row = _network_row(path, name, dtype, device, count, batch, frames)
                        rows.append(row)
    return rows


def _network_row(
    path: Path,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    points: int,
    batch: int,
    frames: int,
) -> dict[str, Any]:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    speed = network_speed(
        path, name, dtype, device, points, batch, frames=max(2, frames // batch) * batch
    )
    memory = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None
    row = {
        "network": name,
        "points": points,
        "frames_at_once": batch,
        "precision": precision_name(dtype),
        "frames_per_second": speed.frames_per_second,
        "milliseconds": speed.milliseconds,
        "gigaflops_per_frame": speed.gigaflops,
        "ceiling_gigaflops_per_second": speed.ceiling,
        "share": speed.share,
        "memory_mb": memory,
    }
    held = "-" if memory is None else f"{memory:.0f}"
    print(
        f"| {name} | {points} | {batch} | {row['precision']} | {speed.frames_per_second:.1f} | "
        f"{held} | {100 * speed.share:.1f} % |",
        flush=True,
    )
    return row


@contextmanager
def taken_memory(device: torch.device) -> Iterator[list[float]]:
    """Yield a list whose entry is the most memory taken on the device by all programs, in MB."""
    most = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            free, total = torch.cuda.mem_get_info(device)
            most[0] = max(most[0], (total - free) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    if device.type == "cuda":
        watcher.start()
    try:
        yield most
    finally:
        done.set()
        if watcher.ident is not None:
            watcher.join()


def points_file(video: Path, count: int, folder: Path) -> list[str]:
    """Return the options that track `count` points spread over the face of the first frames."""
    if count == 68:
        return []
    chunk = next(iter(Pipeline(video, run_options("cpu", "float32", 0.2)).run()))
    low, high = chunk.tracks.xy[0, 0].min(0), chunk.tracks.xy[0, 0].max(0)
    places = np.random.default_rng(0).uniform(low, high, (count, 2))
    file = folder / f"points{count}.csv"
    file.write_text("".join(f"{x:.2f},{y:.2f}\n" for x, y in places))
    return ["--init", "points", "--points", str(file)]


def measure_runs(
    video: Path, device: torch.device, points: list[int], counts: list[int]
) -> list[dict[str, Any]]:
    """Print and return the speed of whole runs for each number of points and videos at once."""
    print("\n| videos at once | points | frames a second of all | seconds | device memory, MB |")
    print("|---:|---:|---:|---:|---:|", flush=True)
    rows = []
    for count in counts:
        for number in points:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "in").mkdir()
                for i in range(count):
                    shutil.copy(video, folder / "in" / f"video{i}{video.suffix}")
                command = [sys.executable, "-m", "facetrack", "track", str(folder / "in")]
                command += ["--out", str(folder / "out"), "--jobs", str(count), "--no-overlay"]
                command += ["--device", device.type, "--quiet"]
                command += points_file(video, number, folder)
                with taken_memory(device) as memory:
                    began = time.perf_counter()
                    subprocess.run(command, check=True)
                    seconds = time.perf_counter() - began
                tables = list((folder / "out").rglob("video*.csv"))
                frames = sum(len(t.read_text().splitlines()) - 1 for t in tables)
            if len(tables) != count:
                raise SystemExit(f"{count - len(tables)} of {count} videos have no table.")
            row = {
                "videos": count,
                "points": number,
                "frames_per_second": frames / seconds,
                "seconds": seconds,
                "memory_mb": memory[0] or None,
            }
            rows.append(row)
            held = f"{memory[0]:.0f}" if memory[0] else "-"
            print(
                f"| {count} | {number} | {frames / seconds:.1f} | {seconds:.1f} | {held} |",
                flush=True,
            )
    return rows


def numbers(text: str) -> list[int]:
    """Read comma-separated numbers."""
    return [int(number) for number in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    """Parse the options, check, measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, nargs="?", help="default: the example clip")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--videos", type=numbers, default=[1, 2, 4, 8, 16], help="at once")
    parser.add_argument("--points", type=numbers, default=[68, 478])
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32], help="frames at once")
    parser.add_argument("--frames", type=int, default=240, help="timed frames of a network")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was measured.")
        return 0
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"{name}, PyTorch {torch.__version__}, facetrack {__version__}\n")
    video = options.video or example_clip()
    result: dict[str, Any] = {
        "device": name,
        "pytorch": torch.__version__,
        "cuda": torch.version.cuda,
        "facetrack": __version__,
        "system": platform.platform(),
        "correctness": check(video, options.device),
    }
    right = all(row["right"] for row in result["correctness"])
    if right:
        networks = measure_networks(device, options.points, options.batches, options.frames)
        result["networks"] = networks
        result["runs"] = measure_runs(video, device, options.points, options.videos)
    else:
        print("\nThe device does not agree with the processor, so no speed was measured.")
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nAll figures: {options.json}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
