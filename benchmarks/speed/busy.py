"""Measure how much slower tracking is on a machine that is busy with other work.

    python benchmarks/speed/busy.py [VIDEO] [--seconds 6] [--rounds 1]

`facetrack track` runs alone, beside one busy process for each core of the machine except one, and
beside a second `facetrack track`; first with facetrack's setting for waiting threads, then with the
default of GNU OpenMP, and so of PyTorch. Figures are frames per second of the tracking (medians
over the rounds; the slower of two runs at once). Compare them within one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from facetrack.runtime.threads import SPIN_COUNT, available_cores

OPENMP = "300000"
"""Turns that GNU OpenMP waits for where nothing is said."""


def run_together(video: Path, end: float, count: int, spins: str) -> float:
    """Return the frames per second of the slowest of `count` runs at once."""
    environment = {**os.environ, "GOMP_SPINCOUNT": spins}
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / str(i) for i in range(count)]
        command = [sys.executable, "-m", "facetrack", "track", str(video), "--end", str(end)]
        running = [
            subprocess.Popen(
                [*command, "--no-overlay", "--quiet", "--out", str(out)],
                env=environment,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # each with its own claim to the processors
            )
            for out in outs
        ]
        if any(process.wait() for process in running):
            raise SystemExit(f"{video} could not be tracked.")
        speeds = []
        for out in outs:
            seconds = json.loads((out / f"{video.stem}.json").read_text())["seconds"]["track"]
            rows = (out / f"{video.stem}.csv").read_text().count("\n") - 1
            speeds.append(rows / seconds)
    return min(speeds)


def main() -> None:
    """Print a table: alone, beside other work, two at once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    example = Path(__file__).resolve().parents[2] / "examples" / "astronaut.mp4"
    parser.add_argument("video", type=Path, nargs="?", default=example)
    parser.add_argument("--seconds", type=float, default=6.0, help="of the video")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(f"| {available_cores()} cores, frames a second | alone | others are busy | two at once |")
    print("|---|---:|---:|---:|")
    for title, spins in (("facetrack", str(SPIN_COUNT)), ("OpenMP's own way to wait", OPENMP)):
        figures = []
        for count, busy in ((1, 0), (1, max(1, available_cores() - 1)), (2, 0)):
            count_up = [sys.executable, "-c", "while True: pass"]
            others = [subprocess.Popen(count_up, start_new_session=True) for _ in range(busy)]
            try:
                speeds = [
                    run_together(options.video, options.seconds, count, spins)
                    for _ in range(options.rounds)
                ]
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            figures.append(f"{np.median(speeds):.1f}")
        print(f"| {title} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
