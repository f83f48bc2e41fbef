"""How far from home landmarks come back that are tracked through real videos and back.

    python benchmarks/there_and_back.py VIDEOS [--frames 40] [--weights tapir-s,FILE,...]

Real videos have no truth, but a tracker that carries each point there and back should end where it
began. The whole tracker is measured, with its window, what draws points to the query frame's
picture, and optical flow; `real_cycle.py` measures the network alone. Two stretches of each video
are taken, from the first frame and from the tenth after it, as far as they last and show a face.
The way back knows nothing of the way there but its last points. Standing still would pass too, and
so does an error that is the same both ways: this says something only beside errors on clips of
known truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from facetrack import detectors, face_detectors
from facetrack.batch.inputs import find_videos
from facetrack.trackers import PointTracker, factory
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.tapir import template_alignment
from facetrack.video.reader import VideoReader

LATER = 10
MOST = 30.0  # per cent of the inter-ocular distance that a point's miss counts, at most
FAR = 5.0
PARTS = {"eyes": slice(36, 48), "lips": slice(48, 68)}
EYES = (36, 45)


def stretches(folder: Path, frames: int) -> Iterator[np.ndarray]:
    """Frames (T, H, W, 3) uint8 RGB of each video's stretches."""
    for path in find_videos([str(folder)]).videos:
        with VideoReader(path) as reader:
            shown = [frame.image for frame, _ in zip(reader, range(frames + LATER), strict=False)]
        for first in (0, LATER):
            if len(shown) >= first + frames:
                yield np.stack(shown[first : first + frames])


def miss(tracker: PointTracker, frames: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(N,) pixels between points (N, 2) and where they come back to."""
    there = tracker.step(tracker.start(frames[0], start), frames).xy[-1]
    back = np.ascontiguousarray(frames[::-1])
    home = tracker.step(tracker.start(back[0], there), back).xy[-1]
    return np.linalg.norm(home - start, axis=-1)


def unanchored(run: Callable[[], np.ndarray]) -> np.ndarray:
    """What `run` gives where nothing is drawn to the query frame's picture."""
    share, template_alignment.SHARE = template_alignment.SHARE, 0.0
    try:
        return run()
    finally:
        template_alignment.SHARE = share


def main() -> None:
    """A line for each tracker."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--frames", type=int, default=40, help="of the way there")
    parser.add_argument("--weights", default="tapir-s", help="bundled names and checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    landmarks, boxes = detectors.create("star"), face_detectors.create("auto")
    made: dict[str, PointTracker] = {}
    for name in options.weights.split(","):
        for kind, steady in (("", True), (", raw", False)):
            given = TrackerOptions(weights=name, steady=steady)
            made[name + kind] = factory.create("tapir", given, lambda: (landmarks, boxes))
    missed: dict[str, list[np.ndarray]] = {}
    for frames in stretches(options.videos, options.frames):
        found = boxes.detect(frames[0]).boxes[:1]
        if not len(found):
            continue
        start = landmarks.detect(frames[0], found).xy[0]
        scale = 100 / float(np.linalg.norm(start[EYES[0]] - start[EYES[1]]))
        for name, tracker in made.items():
            missed.setdefault(name, []).append(scale * miss(tracker, frames, start))
            if not name.endswith("raw"):
                alone = unanchored(lambda t=tracker, f=frames, s=start: miss(t, f, s))
                missed.setdefault(f"{name}, flow alone", []).append(scale * alone)
    count = len(next(iter(missed.values()), []))
    print(f"{count} stretches of {options.frames} frames; % of the inter-ocular distance\n")
    print(f"| tracker | mean | median | over {FAR:.0f} % | " + " | ".join(PARTS) + " |")
    print("|---" * (4 + len(PARTS)) + "|")
    for name, parts in missed.items():
        away = np.stack(parts)
        cut = np.minimum(away, MOST)
        figures = [cut.mean(), np.median(away), *(cut[:, part].mean() for part in PARTS.values())]
        mean, median, *rest = (f"{value:.2f}" for value in figures)
        over = f"{100 * (away > FAR).mean():.1f}"
        print("| " + " | ".join([name, mean, median, over, *rest]) + " |")


if __name__ == "__main__":
    main()
