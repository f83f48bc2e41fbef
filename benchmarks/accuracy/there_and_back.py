"""Measure how far landmarks end from their start when tracked forwards and back through a video.

    python benchmarks/accuracy/there_and_back.py VIDEOS [--frames 40] [--weights tapir-s,FILE,...]
    python benchmarks/accuracy/there_and_back.py VIDEOS --network [--weights tapir-s,FILE,...]

Real videos have no ground truth, but a tracker that follows each point forwards and then backwards
should end where it began (cycle consistency). The first form measures the whole tracker: the face
window, template alignment and optical flow. Two clips of each video are used, from the first frame
and from the tenth frame after it, where they are long enough and show a face. The backward pass
starts from the last points alone.

With `--network` the network alone is measured, without window and optical flow. It runs on clips
of 24 frames from the videos that self-training holds out, in a window that holds still.

A tracker that never moves would pass too, and so does an error that is the same both ways. The
figures therefore mean something only beside errors on clips of known ground truth (`tracking.py`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from facetrack import detectors, face_detectors
from facetrack.batch.inputs import find_videos
from facetrack.trackers import PointTracker, factory
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.tapir import TAPIR, template_alignment
from facetrack.trackers.tapir.types import visibility
from facetrack.training import real
from facetrack.training.render import SIZE
from facetrack.video.reader import VideoReader
from facetrack.weights import resolve

SECOND_CLIP = 10
"""Frames between the starts of a video's two clips."""
MAX_MISS = 30.0
"""A larger miss counts as this much: per cent of the inter-ocular distance, or pixels of the
network's input with `--network`."""
FAR = 5.0
"""Per cent of the inter-ocular distance above which a miss counts as far."""
FAR_PX = 3.0
"""The same with `--network`, in pixels of the network's input."""
PARTS = {"eyes": slice(36, 48), "lips": slice(48, 68)}
EYE_CORNERS = (36, 45)


def clips_of(folder: Path, frames: int) -> Iterator[np.ndarray]:
    """Yield the clips of each video: frames (T, H, W, 3) uint8 RGB."""
    for path in find_videos([str(folder)]).videos:
        with VideoReader(path) as reader:
            counted = zip(reader, range(frames + SECOND_CLIP), strict=False)
            images = [frame.image for frame, _ in counted]
        for first in (0, SECOND_CLIP):
            if len(images) >= first + frames:
                yield np.stack(images[first : first + frames])


def cycle_error(tracker: PointTracker, frames: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return (N,) pixels between points (N, 2) and where they end after the way back."""
    turn = tracker.step(tracker.start(frames[0], start), frames).xy[-1]
    back = np.ascontiguousarray(frames[::-1])
    end = tracker.step(tracker.start(back[0], turn), back).xy[-1]
    return np.linalg.norm(end - start, axis=-1)


def without_alignment(run: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the result of `run` with template alignment switched off."""
    share, template_alignment.ALIGNMENT_SHARE = template_alignment.ALIGNMENT_SHARE, 0.0
    try:
        return run()
    finally:
        template_alignment.ALIGNMENT_SHARE = share


def measure_tracker(videos: Path, frames: int, weights: list[str]) -> None:
    """Print one line for each tracker, in per cent of the inter-ocular distance."""
    landmarks, boxes = detectors.create("star"), face_detectors.create("auto")
    trackers: dict[str, PointTracker] = {}
    for name in weights:
        for kind, steady in (("", True), (", raw", False)):
            tracker_options = TrackerOptions(weights=name, steady=steady)
            trackers[name + kind] = factory.create(
                "tapir", tracker_options, lambda: (landmarks, boxes)
            )
    errors: dict[str, list[np.ndarray]] = {}
    for clip in clips_of(videos, frames):
        faces = boxes.detect(clip[0]).boxes[:1]
        if not len(faces):
            continue
        start = landmarks.detect(clip[0], faces).xy[0]
        scale = 100 / float(np.linalg.norm(start[EYE_CORNERS[0]] - start[EYE_CORNERS[1]]))
        for name, tracker in trackers.items():
            errors.setdefault(name, []).append(scale * cycle_error(tracker, clip, start))
            if not name.endswith("raw"):
                flow = without_alignment(lambda t=tracker, c=clip, s=start: cycle_error(t, c, s))
                errors.setdefault(f"{name}, flow alone", []).append(scale * flow)
    count = len(next(iter(errors.values()), []))
    print(f"{count} clips of {frames} frames; % of the inter-ocular distance\n")
    print(f"| tracker | mean | median | over {FAR:.0f} % | " + " | ".join(PARTS) + " |")
    print("|---" * (4 + len(PARTS)) + "|")
    for name, parts in errors.items():
        missed = np.stack(parts)
        cut = np.minimum(missed, MAX_MISS)
        part_means = [cut[:, part].mean() for part in PARTS.values()]
        mean, median, *rest = (f"{v:.2f}" for v in (cut.mean(), np.median(missed), *part_means))
        over = f"{100 * (missed > FAR).mean():.1f}"
        print("| " + " | ".join([name, mean, median, over, *rest]) + " |")


@torch.no_grad()
def network_errors(weights: Path, clips: real.RealClips) -> tuple[np.ndarray, np.ndarray]:
    """Return (K, 68) pixels by which each landmark misses its start, and (K, 68) bool: whether it
    was visible at the end of the forward pass."""
    network = TAPIR.from_checkpoint(weights).network.float().eval()
    missed, seen = [], []
    for path, first in zip(clips.windows, clips.landmarks, strict=True):
        video = torch.from_numpy(np.load(path)).permute(0, 3, 1, 2)[None].float() / 255
        still = real.static_map(1, real.FRAMES, video.device)
        start = still.invert(torch.from_numpy(first)[None], SIZE)[0][:, 0]
        forward, _, away = real.track_cycle(network, real.view(video, still), start)
        missed.append(away[0].numpy())
        seen.append((visibility(forward)[0, :, -1] > 0.5).numpy())
    return np.stack(missed), np.stack(seen)


def measure_network(videos: Path, weights: list[str]) -> None:
    """Print one line for each network, in pixels of its input."""
    with tempfile.TemporaryDirectory() as folder:
        real.gather(videos, Path(folder), held_out=True)
        clips = real.load(Path(folder))
        print(f"{len(clips.windows)} clips of {real.FRAMES} frames; pixels of {SIZE}\n")
        print(
            f"| weights | mean | median | over {FAR_PX:.0f} px | lips: mean | lips: median "
            "| seen at the turn |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|")
        for name in weights:
            missed, seen = network_errors(resolve("tapir", name).path, clips)
            lips = missed[:, PARTS["lips"]]
            print(
                f"| {name} | {missed.clip(0, MAX_MISS).mean():.2f} | {np.median(missed):.2f} "
                f"| {100 * (missed > FAR_PX).mean():.1f} % | {lips.clip(0, MAX_MISS).mean():.2f} "
                f"| {np.median(lips):.2f} | {100 * seen.mean():.1f} % |"
            )


def main() -> None:
    """Parse the options and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--frames", type=int, default=40, help="of the forward pass")
    parser.add_argument("--weights", default="tapir-s", help="bundled names and checkpoints")
    parser.add_argument("--network", action="store_true", help="measure the network alone")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    weights = options.weights.split(",")
    if options.network:
        measure_network(options.videos, weights)
    else:
        cv2.setNumThreads(options.threads)
        measure_tracker(options.videos, options.frames, weights)


if __name__ == "__main__":
    main()
