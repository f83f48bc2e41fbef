"""Measure how many frames a second several videos at once take, and extrapolate to more cores.

    python benchmarks/speed/jobs.py VIDEO [--videos 4] [--jobs 1 2 4] [--rounds 1] [--cores 8 64]

`facetrack track FOLDER --jobs N` tracks copies of the video. Frames a second are all frames divided
by the whole run's time, with the start of its processes; memory is the peak resident memory of the
largest process. Compare rows of one run only.

The last rows extrapolate to machines with more cores, with as many jobs as cores. They take the
contention law of N. J. Gunther's Universal Scalability Law without its crosstalk, as jobs exchange
nothing: N cores have N / (1 + s (N - 1)) times the speed of one, where s is measured between one
job on one core and as many jobs as this machine has cores. With two cores that is a guess about 64,
and no promise: shared memory and caches differ between machines.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common import timed_process
from facetrack.runtime.threads import available_cores
from facetrack.video.reader import VideoReader


class Throughput(NamedTuple):
    """A batch's speed.

    Attributes:
        frames_per_second: of all its videos together.
        megabytes: peak resident memory of its largest process.
    """

    frames_per_second: float
    megabytes: float


def run_batch(folder: Path, frames: int, jobs: int, threads: int | None) -> Throughput:
    """Track all videos of a folder.

    Args:
        folder: the videos.
        frames: number of all their frames.
        jobs: processes at once.
        threads: of each process; None for its share of the cores.
    """
    environment = dict(os.environ)
    environment.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "facetrack", "track", str(folder), "--out", out]
        command += ["--jobs", str(jobs), "--no-overlay", "--quiet"]
        usage = timed_process.run(command, environment, quiet=True)
    return Throughput(frames / usage.seconds, usage.megabytes)


def contention(one: float, all_cores: float, cores: int) -> float:
    """Return the share s of the work that jobs do in turn.

    Args:
        one: speed of one job on one core.
        all_cores: speed of as many such jobs as there are cores.
        cores: their number, at least 2.
    """
    return max(0.0, (cores * one / all_cores - 1) / (cores - 1))


def extrapolate(one: float, share: float, cores: int) -> float:
    """Return the speed of as many jobs as cores; see `contention`."""
    return cores * one / (1 + share * (cores - 1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--videos", type=int, default=4, help="copies of it")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cores", type=int, nargs="+", default=[8, 16, 32, 64])
    options = parser.parse_args()
    cores = available_cores()
    with VideoReader(options.video) as reader:
        frames = options.videos * sum(1 for _ in reader)
    settings: list[tuple[int, int | None]] = [(jobs, None) for jobs in options.jobs]
    settings += [(1, 1)] + ([(cores, 1)] if (cores, None) not in settings else [])
    found: dict[tuple[int, int | None], list[Throughput]] = {setting: [] for setting in settings}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.videos):
            shutil.copy(options.video, Path(folder) / f"{i}{options.video.suffix}")
        for _ in range(options.rounds):
            for setting, results in found.items():
                results.append(run_batch(Path(folder), frames, *setting))
    print(f"| {cores} cores | frames a second | memory of a process, MB |")
    print("| --- | ---: | ---: |")
    speeds = {}
    for (jobs, threads), results in found.items():
        speed, memory = np.median(np.array(results), 0)
        speeds[jobs, threads] = speed
        title = f"--jobs {jobs}" + (f", OMP_NUM_THREADS={threads}" if threads else "")
        print(f"| `{title}` | {speed:.1f} | {memory:.0f} |")
    if cores < 2:
        return
    one = speeds[1, 1]
    share = contention(one, speeds.get((cores, 1), speeds.get((cores, None), one)), cores)
    for more in options.cores:
        print(
            f"| {more} cores, as many jobs (extrapolated) | {extrapolate(one, share, more):.0f} | |"
        )
    print(f"\nShare of the work that jobs do in turn: {share:.3f}")


if __name__ == "__main__":
    main()
