"""How far from home landmarks come back that are tracked there and back through real videos.

    python benchmarks/real_cycle.py VIDEOS [--weights tapir-s,FILE,...]

Real videos have no truth, but a tracker that follows each point there and back should end where it
began. Of the folder only the videos that self-training keeps off are taken, stretches of 24 frames
through a window that holds still. The network alone is measured, without window and optical flow.
Standing still would pass too: this says something only beside errors on clips of known truth.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from facetrack.trackers.tapir import TAPIR
from facetrack.trackers.tapir.types import visibility
from facetrack.training import real
from facetrack.training.render import SIZE
from facetrack.weights import resolve

MOST = 30.0  # pixels that a point's miss counts, at most
LIPS = slice(48, 68)


@torch.no_grad()
def misses(weights: Path, clips: real.RealClips) -> tuple[np.ndarray, np.ndarray]:
    """(K, 68) pixels by which each landmark misses its start, and whether it was seen at the end
    of the way there."""
    network = TAPIR.from_checkpoint(weights).network.float().eval()
    away, seen = [], []
    for path, first in zip(clips.windows, clips.landmarks, strict=True):
        video = torch.from_numpy(np.load(path)).permute(0, 3, 1, 2)[None].float() / 255
        still = real.resting(1, real.FRAMES, video.device)
        start = still.invert(torch.from_numpy(first)[None], SIZE)[0][:, 0]
        there, _, missed = real.there_and_back(network, real.view(video, still), start)
        away.append(missed[0].numpy())
        seen.append((visibility(there)[0, :, -1] > 0.5).numpy())
    return np.stack(away), np.stack(seen)


def main() -> None:
    """A line for each network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--weights", default="tapir-s", help="bundled names and checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        real.gather(options.videos, Path(folder), held_out=True)
        clips = real.load(Path(folder))
        print(f"{len(clips.windows)} stretches of {real.FRAMES} frames; pixels of {SIZE}\n")
        print(
            "| weights | mean | median | over 3 px | lips: mean | lips: median | seen at the turn |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|")
        for name in options.weights.split(","):
            away, seen = misses(resolve("tapir", name).path, clips)
            lips = away[:, LIPS]
            print(
                f"| {name} | {away.clip(0, MOST).mean():.2f} | {np.median(away):.2f} "
                f"| {100 * (away > 3).mean():.1f} % | {lips.clip(0, MOST).mean():.2f} "
                f"| {np.median(lips):.2f} | {100 * seen.mean():.1f} % |"
            )


if __name__ == "__main__":
    main()
