"""Measure the speed of whole runs, from the video file to the output files."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.bench.clock import Clock
from facetrack.bench.networks import STAGES, timing_stages
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.trackers.base import wrapped_trackers
from facetrack.trackers.expression.tracker import ExpressionTracker
from facetrack.trackers.tapir.tracker import TapirTracker
from facetrack.video.cuts import CutDetector


@dataclass(frozen=True)
class RunSpeed:
    """The speed of a run.

    Attributes:
        tracker: its name.
        overlay: whether the overlay video was written.
        frames: number of frames of the video.
        load, first: seconds to load the networks and to find the first face, once per run.
        milliseconds: per frame, by stage, including the time that a stage waits.
        total: seconds from the call to the last file.
        cpu: processor seconds, including ffmpeg's.
    """

    tracker: str
    overlay: bool
    frames: int
    load: float
    first: float
    milliseconds: dict[str, float]
    total: float
    cpu: float

    @property
    def frames_per_second(self) -> float:
        """Frames per second of the whole run."""
        return self.frames / self.total


def run_speed(video: Path, options: Options, overlay: bool) -> RunSpeed:
    """Time `facetrack track` on a video, with output into a temporary folder.

    Args:
        video: the video.
        options: of the run.
        overlay: write the overlay video.

    Raises:
        FacetrackError: the run fails.
    """
    models = Models(options)
    clock = Clock(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cpu = _cpu()
        start = clock.now()
        tracker = models.tracker
        loaded = clock.now() - start
        stack.enter_context(clock.timing(tracker, "step_many", "track"))
        stack.enter_context(clock.timing(CutDetector, "is_cut", "cuts"))
        for layer in wrapped_trackers(tracker):
            if isinstance(layer, ExpressionTracker):
                stack.enter_context(clock.timing(layer, "correct", "expressions"))
            if isinstance(layer, TapirTracker):
                clock.device = layer.tapir.device
                stack.enter_context(timing_stages(clock, layer.tapir.network, "track"))
        result = track_to_files(
            video, options, Outputs(Path(folder), overlay=overlay), models=models
        )
        total = clock.now() - start
        record = json.loads(result.paths["sidecar"].read_text(encoding="utf-8"))
        cpu = _cpu() - cpu
    per_frame = {
        name: 1000 * spent / result.frames for name, spent in _stages(record, clock).items()
    }
    load, first = loaded + record["seconds"]["load"], record["seconds"]["search"]
    per_frame["other"] = 1000 * (total - load - first) / result.frames - sum(per_frame.values())
    return RunSpeed(
        options.tracker,
        overlay,
        result.frames,
        load,
        first,
        per_frame,
        total,
        cpu,
    )


def _stages(record: dict[str, Any], clock: Clock) -> dict[str, float]:
    """Return the seconds by stage."""
    recorded, spent = record["seconds"], clock.seconds
    known = sum(spent[name] for name in STAGES)
    stages = {"decode": recorded["decode"]}
    if known:
        stages |= {name: spent[name] for name in STAGES}
        stages["expressions"] = spent["expressions"]
        stages["window, steadying"] = spent["track"] - known - spent["expressions"]
    else:
        stages["track"] = spent["track"]
    stages["look for cuts"] = spent["cuts"]
    # The tracker also runs the backward pass.
    stages["look for faces"] = recorded["track"] + recorded["backwards"] - spent["track"]
    stages["write"] = recorded["write"]
    return stages


def _cpu() -> float:
    """Return the processor seconds of this process and of its finished child processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
