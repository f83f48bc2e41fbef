"""Measure how time and memory grow with points, frames, resolution and faces.

    python benchmarks/speed/scaling.py [--tables points,frames,sizes,faces] [--threads 2]
        [--options=--whole-frame]
    python benchmarks/speed/scaling.py --tables frames --frames 600 6000 --overlay --max-growth 1.05

Each row is a run of `facetrack track` in a process of its own, on a video drawn for it (a drifting
face, from scikit-image's astronaut, public domain). Milliseconds a frame cover decoding, tracking,
face detection and writing, but not loading and the search for the first face, which a run does
once. Memory is the peak resident memory of the process and of the largest of its own children
(ffmpeg). The points of the table `points` are a grid on the face, given with `--init points`.
`--options` are passed on to the run. Compare rows of one run only.

The second form asks whether memory grows with the length of a video: with `--overlay` the overlay
is written too, and with `--max-growth` the exit code is 1 if any row of a table needs more memory
than that many times the memory of the table's first row.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common import timed_process
from facetrack.video.encoder import VideoEncoder

ONCE = ("load", "search", "total")


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        milliseconds: time a frame.
        megabytes: peak resident memory.
    """

    milliseconds: float
    megabytes: float


def write_video(path: Path, frames: int, width: int) -> None:
    """Write a face that drifts about on a grey ground, 25 frames a second."""
    size, scale = (width, width * 3 // 4), width / 640
    face = skimage.data.astronaut()[:256, 90:410]
    with VideoEncoder(path, size, audio_from=None, start_time=0.0, preset="ultrafast") as encoder:
        for i in range(frames):
            shift = 40 * np.sin(i / 25), 25 * np.cos(i / 40)
            move = scale * np.float32([[1, 0, 160 + shift[0]], [0, 1, 110 + shift[1]]])
            image = cv2.warpAffine(face, move, size, borderValue=(90, 90, 90))
            encoder.write(image, i / 25)


def track(video: Path, out: Path, threads: int, *more: str) -> Cost:
    """Track a video in a new process."""
    command = [sys.executable, "-m", "facetrack", "track", str(video), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    usage = timed_process.run([*command, "--out", str(out), *more], environment)
    record = json.loads((out / f"{video.stem}.json").read_text(encoding="utf-8"))
    spent = sum(v for k, v in record["seconds"].items() if k not in ONCE)
    return Cost(1000 * spent / record["input"]["frames"], usage.megabytes)


def grid(path: Path, count: int, width: int) -> None:
    """Write `count` points on the first frame's face, in the format of `--points`."""
    side = int(np.ceil(np.sqrt(count)))
    scale = width / 640
    x = np.linspace(270, 370, side) * scale
    y = np.linspace(170, 290, side) * scale
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)[:count]
    np.savetxt(path, points, fmt="%.3f", delimiter=",", header="x,y", comments="")


def write_faces(path: Path, count: int, frames: int) -> None:
    """Write a video of `count` faces side by side, each drifting a little."""
    face = skimage.data.astronaut()[20:220, 130:310]
    size = (180 * count + 60, 320)
    with VideoEncoder(path, size, audio_from=None, start_time=0.0, preset="ultrafast") as encoder:
        for i in range(frames):
            image = np.full((size[1], size[0], 3), 90, np.uint8)
            for k in range(count):
                left, top = 30 + 180 * k + 20 * np.sin(i / 25 + k), 60 + 20 * np.cos(i / 40 + k)
                move = np.float32([[1, 0, left], [0, 1, top]])
                layer = cv2.warpAffine(face, move, size)
                image = np.where(layer.any(-1, keepdims=True), layer, image)
            encoder.write(image, i / 25)


def show(title: str, rows: dict[str, Cost]) -> None:
    """Print a table; factors are relative to the first row."""
    print(f"\n| {title} | ms a frame | times the first | memory, MB | times the first |")
    print("|---|---:|---:|---:|---:|")
    first = next(iter(rows.values()))
    for name, cost in rows.items():
        print(
            f"| {name} | {cost.milliseconds:.1f} | {cost.milliseconds / first.milliseconds:.2f} | "
            f"{cost.megabytes:.0f} | {cost.megabytes / first.megabytes:.2f} |",
            flush=True,
        )


def main() -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default="points,frames,sizes,faces")
    parser.add_argument("--points", type=int, nargs="+", default=[68, 256, 1024, 4096])
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 600, 6000])
    parser.add_argument("--widths", type=int, nargs="+", default=[320, 640, 1280, 1920, 3840])
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4, 16])
    parser.add_argument(
        "--length", type=int, default=96, help="frames of a video, except in `frames`"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--overlay", action="store_true", help="write the overlay as well")
    parser.add_argument("--max-growth", type=float, help="limit of memory, times the first row's")
    parser.add_argument("--options", default="", help="more options of `facetrack track`, quoted")
    options = parser.parse_args()
    common = shlex.split(options.options) + ([] if options.overlay else ["--no-overlay"])
    growth = 1.0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        video = out / "points.mp4"
        write_video(video, options.length, 640)

        def run(video: Path, *specific: str) -> Cost:
            return track(video, out, options.threads, *specific, *common)

        def of_points(count: int) -> Cost:
            grid(out / "points.csv", count, 640)
            return run(video, "--init", "points", "--points", str(out / "points.csv"))

        def of_frames(count: int) -> Cost:
            write_video(out / "frames.mp4", count, 640)
            return run(out / "frames.mp4")

        def of_width(width: int) -> Cost:
            write_video(out / "sizes.mp4", options.length, width)
            return run(out / "sizes.mp4")

        def of_faces(count: int) -> Cost:
            write_faces(out / "faces.mp4", count, options.length)
            return run(out / "faces.mp4", "--faces", "all")

        tables = {
            "points": ("points", options.points, of_points, str),
            "frames": ("frames", options.frames, of_frames, str),
            "sizes": ("pixels", options.widths, of_width, lambda w: f"{w} x {w * 3 // 4}"),
            "faces": ("faces", options.faces, of_faces, str),
        }
        for name in options.tables.split(","):
            title, values, cost, label = tables[name]
            rows = {label(value): cost(value) for value in values}
            show(title, rows)
            memory = [row.megabytes for row in rows.values()]
            growth = max(growth, max(memory) / memory[0])
    sys.exit(options.max_growth is not None and growth > options.max_growth)


if __name__ == "__main__":
    main()
