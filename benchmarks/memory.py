"""Peak memory of `facetrack track` against the length of the video.

    python benchmarks/memory.py [--frames 600 6000] [--tracker tapir] [--width 640]

Makes 640 x 480 videos (or smaller ones) of a drifting face (scikit-image's astronaut, public
domain), tracks each in a process of its own, CSV and overlay included, and prints the peak resident
memory of that process (and of the largest of its own children, which is ffmpeg's) beside the first
one's. Exits with 1 when a longer video takes over 5 % more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from facetrack.video.encoder import VideoEncoder

LIMIT = 1.05


def write_video(path: Path, frames: int, width: int) -> None:
    """A face that drifts about on a grey ground, 25 frames a second."""
    size, scale = (width, width * 3 // 4), width / 640
    face = skimage.data.astronaut()[:256, 90:410]
    with VideoEncoder(path, size, audio_from=None, start_time=0.0, preset="ultrafast") as encoder:
        for i in range(frames):
            shift = 40 * np.sin(i / 25), 25 * np.cos(i / 40)
            move = scale * np.float32([[1, 0, 160 + shift[0]], [0, 1, 110 + shift[1]]])
            image = cv2.warpAffine(face, move, size, borderValue=(90, 90, 90))
            encoder.write(image, i / 25)


def peak_megabytes(video: Path, out: Path, tracker: str) -> float:
    """Track a video in a new process; its peak resident memory."""
    command = [sys.executable, "-m", "facetrack", "track", str(video), "--tracker", tracker]
    process = subprocess.Popen([*command, "--out", str(out), "--quiet"])
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[600, 6000])
    parser.add_argument("--tracker", default="tapir")
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()
    print("| frames | peak memory (MB) | against the first |\n|---|---|---|")
    first, worst = None, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for frames in options.frames:
            video = Path(folder) / f"{frames}.mp4"
            write_video(video, frames, options.width)
            peak = peak_megabytes(video, Path(folder), options.tracker)
            first = first or peak
            worst = max(worst, peak / first)
            print(f"| {frames} | {peak:.0f} | {100 * (peak / first - 1):+.1f} % |", flush=True)
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
