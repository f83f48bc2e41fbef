"""Measures whether memory stays flat over a long video, with the default tracker and the overlay.

    python benchmarks/checks/memory.py [--frames 6000] [--size 240] [--every 250] [--max-slope 1000]

A clip of 240 x 180 pixels is made from the example clip, which is shown forwards and backwards by
turns, so that nothing jumps. `facetrack.api.track.track_to_files` tracks it with the default
options and writes the CSV and the overlay video. Every `--every` frames the resident memory (RSS)
of the process and of its children (ffmpeg) is read from /proc (Linux).

Slope: least squares over the second half of the samples, in KB (1000 bytes) per 1000 frames.
Growth: mean of the last quarter of the samples minus mean of the second quarter. Peak: the maximum
of the sum. Exit status 1 if the slope of the process exceeds `--max-slope`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.api.compare import example_clip
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.video import ffmpeg
from facetrack.video.reader import VideoReader

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(NamedTuple):
    """Memory after a number of frames, in MB (10^6 bytes)."""

    frames: int
    process: float
    children: float


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB; 0 if it has ended."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
    return 0.0


def children(pid: int) -> list[int]:
    """Return the process ids of the direct children of a process."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def write_long_clip(path: Path, frames: int, width: int) -> None:
    """Write the example clip forwards and backwards until there are `frames` frames."""
    source = example_clip()
    with VideoReader(source) as reader:
        count = sum(1 for _ in reader)
    height = width * 3 // 4 // 2 * 2
    there_and_back = (
        f"[0:v]scale={width}:{height},split[a][b];[b]reverse[c];[a][c]concat,"
        f"loop=loop=-1:size={2 * count}:start=0,setpts=N/24/TB[v]"
    )
    command = [ffmpeg.executable(), "-v", "error", "-nostdin", "-y", "-i", str(source)]
    command += ["-filter_complex", there_and_back, "-map", "[v]", "-r", "24"]
    command += ["-frames:v", str(frames), "-an", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*command, str(path)], check=True, env=ffmpeg.environment())


def slope(samples: list[Sample]) -> float:
    """Return the growth of the process over the second half, in KB per 1000 frames."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        raise FacetrackError("There are too few samples for a slope: use a smaller --every.")
    fit = np.polyfit([s.frames for s in half], [s.process for s in half], 1)
    return float(fit[0]) * 1e3 * 1e3


def growth(samples: list[Sample]) -> float:
    """Return the mean of the last quarter minus that of the second quarter, in MB."""
    quarter = max(1, len(samples) // 4)
    late = np.mean([s.process for s in samples[-quarter:]])
    return float(late - np.mean([s.process for s in samples[quarter : 2 * quarter]]))


def measure(video: Path, folder: Path, every: int) -> tuple[list[Sample], int, float]:
    """Track the video; return the samples, the number of frames and the seconds."""
    samples: list[Sample] = []
    due = every

    def sample(done: int, total: int | None) -> None:
        nonlocal due
        if done < due:
            return
        due = done - done % every + every
        process = os.getpid()
        samples.append(Sample(done, resident(process), sum(map(resident, children(process)))))
        print(
            f"| {done} | {samples[-1].process:.1f} | {samples[-1].children:.1f} |",
            flush=True,
        )

    began = time.perf_counter()
    # `keep` saves the state of the run as `facetrack track` does.
    result = track_to_files(video, Options(), Outputs(folder), sample, keep=True)
    return samples, result.frames, time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=6000, help="length of the video")
    parser.add_argument("--size", type=int, default=240, help="width of the frames, pixels")
    parser.add_argument("--every", type=int, default=250, help="frames between two samples")
    parser.add_argument(
        "--max-slope", type=float, help="limit of the slope, KB per 1000 frames; else no check"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "long.mp4"
        write_long_clip(video, options.frames, options.size)
        print("| frames | process, MB | ffmpeg, MB |\n| ---: | ---: | ---: |", flush=True)
        samples, frames, seconds = measure(video, Path(name) / "out", options.every)
    found = slope(samples)
    peak = max(s.process + s.children for s in samples)
    print(
        f"\n{frames} frames in {seconds:.0f} s ({frames / seconds:.1f} fps): slope {found:+.0f} KB "
        f"per 1000 frames, growth {growth(samples):+.2f} MB, peak {peak:.0f} MB"
    )
    return int(options.max_slope is not None and found > options.max_slope)


if __name__ == "__main__":
    sys.exit(main())
