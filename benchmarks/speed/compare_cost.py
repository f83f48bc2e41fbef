"""Measure the cost of comparing several initialisers, in multiples of one `facetrack track`.

    python benchmarks/speed/compare_cost.py [--video FILE] [--inits 4] [--frames 96] [--rounds 1]

Both write their tables and their video; `track` runs with its defaults, `compare` with the first
--inits detectors whose weights are on this machine, tapir, and its own defaults, but no report.
If there are fewer detectors, stand-ins take their places: ERT's points moved by a pixel or two,
after a PIPNet with random weights has run to take up its time.

The shorter the clip, the larger the share of passes that do not grow with it (cycle error, search).
The figure is CPU time, including ffmpeg's, so that other jobs on the machine matter little. The two
runs alternate. The exit code is 1 if the ratio is above --limit.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

from facetrack import detectors
from facetrack.api.compare import compare_to_files, example_clip
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.comparison import initialisers
from facetrack.comparison.options import CompareOptions
from facetrack.comparison.results import Comparison
from facetrack.detectors import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.detectors.pipnet import PipConfig, PipNetwork
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.video.encoder import VideoEncoder
from facetrack.video.reader import VideoReader


class StandIn:
    """Places ERT's landmarks, moved a little, in the time that ERT and PIPNet take."""

    scheme = "68"

    def __init__(self, name: str, options: DetectorOptions, weights: Path) -> None:
        self.name = name
        self._ert = detectors.create("ert", options)
        chosen = DetectorOptions(weights=str(weights), device=options.device)
        self._network = detectors.create("pipnet", chosen)
        self._shift = np.random.default_rng(len(name)).normal(0, 1, (68, 2)).astype(np.float32)

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """As `LandmarkDetector.detect`."""
        self._network.detect(image, boxes)
        found = self._ert.detect(image, boxes)
        return Landmarks(found.xy + self._shift, found.score)

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """As `LandmarkDetector.detect_many`."""
        return [self.detect(*both) for both in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return its name."""
        return {"name": self.name, "scheme": self.scheme, "stand_in": True}


def use_stand_ins(weights: Path) -> list[str]:
    """Let the comparison create stand-ins for detectors without weights, and return their names."""
    missing = []
    for name in detectors.available():
        try:
            detectors.create(name)
        except FacetrackError:
            missing.append(name)

    def create(name: str, options: DetectorOptions) -> LandmarkDetector:
        if name in missing:
            return StandIn(name, options, weights)
        return detectors.create(name, options)

    initialisers.create = create  # type: ignore[assignment]
    return missing


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of the work, including ended child processes."""

    def now() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    began = now()
    work()
    return now() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--video", type=Path, help="[default: the example clip]")
    parser.add_argument("--inits", type=int, default=4)
    parser.add_argument("--frames", type=int, default=96, help="of the video, from its start")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=2.5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    console = Console()
    seconds: dict[str, list[float]] = {"track": [], "compare": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file(PipNetwork(PipConfig()).state_dict(), folder / "pipnet.safetensors")
        missing = use_stand_ins(folder / "pipnet.safetensors")
        inits = tuple(detectors.available()[: options.inits])
        video = cut(options.video or example_clip(), options.frames, folder / "clip.mp4")
        outputs, chosen = Outputs(folder / "track"), CompareOptions(inits=inits)
        found: list[Comparison] = []
        runs = {
            "track": lambda: track_to_files(video, Options(), outputs),
            "compare": lambda: found.append(
                compare_to_files(video, chosen, folder / "compare", report=False)
            ),
        }
        for _ in range(options.rounds):
            for what, work in runs.items():
                seconds[what].append(cpu_seconds(work))
    track, whole = (float(np.median(some)) for some in seconds.values())
    stand_ins = [init for init in inits if init in missing]
    console.print(f"inits: {', '.join(inits)}; stand-ins: {', '.join(stand_ins) or 'none'}")
    console.print(f"track {track:.1f} s, compare {whole:.1f} s of CPU time: {whole / track:.2f}")
    last = found[-1]
    own = {k: sum(r.seconds.get(k, 0) for r in last.results) for k in last.results[0].seconds}
    console.print({stage: round(value, 2) for stage, value in {**last.seconds, **own}.items()})
    sys.exit(whole / track > options.limit)


def cut(video: Path, frames: int, path: Path) -> Path:
    """Write the first frames of a video as a video."""
    with VideoReader(video) as reader:
        size = (reader.info.width, reader.info.height)
        with VideoEncoder(path, size, audio_from=None, start_time=0.0) as encoder:
            for frame in reader:
                if frame.index == frames:
                    break
                encoder.write(frame.image, frame.time, frame.duration)
    return path


if __name__ == "__main__":
    main()
