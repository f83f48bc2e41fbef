"""How fast whole runs are, from a video's file to the files that are written."""

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
from facetrack.bench.networks import STAGES, listening
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.trackers.expression.tracker import ExpressionTracker
from facetrack.trackers.tapir.tracker import TapirTracker
from facetrack.video.cuts import CutDetector


@dataclass(frozen=True)
class RunSpeed:
    """Attributes:
    tracker: its name.
    overlay: whether the overlay video was made.
    frames: of the video.
    load, first: seconds for the networks, and for finding the first face: once a run.
    milliseconds: a frame, by stage; what the stages wait for is theirs.
    total: seconds from the call to the last file.
    cpu: seconds of processors, ffmpeg's included.
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
        """End to end."""
        return self.frames / self.total


def run_speed(video: Path, options: Options, overlay: bool) -> RunSpeed:
    """Track a video as `facetrack track` does, into a folder that is removed again, by the clock.

    Raises:
        FacetrackError: as a run would.
    """
    parts = Models(options)
    clock = Clock(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cpu = _cpu()
        began = clock.now()
        tracker = parts.tracker
        loaded = clock.now() - began
        stack.enter_context(clock.listening(tracker, "step", "track"))
        stack.enter_context(clock.listening(CutDetector, "is_cut", "cuts"))
        if isinstance(tracker, ExpressionTracker):
            stack.enter_context(clock.listening(tracker.network, "detect_many", "expressions"))
            tracker = tracker.tracker
        if isinstance(tracker, TapirTracker):
            clock.device = tracker.tapir.device
            stack.enter_context(listening(clock, tracker.tapir.network))
        report = track_to_files(video, options, Outputs(Path(folder), overlay=overlay), parts=parts)
        total = clock.now() - began
        record = json.loads(report.paths["sidecar"].read_text(encoding="utf-8"))
        cpu = _cpu() - cpu
    per = {name: 1000 * spent / report.frames for name, spent in _stages(record, clock).items()}
    load, first = loaded + record["seconds"]["load"], record["seconds"]["search"]
    per["other"] = 1000 * (total - load - first) / report.frames - sum(per.values())
    return RunSpeed(
        options.tracker,
        overlay,
        report.frames,
        load,
        first,
        per,
        total,
        cpu,
    )


def _stages(record: dict[str, Any], clock: Clock) -> dict[str, float]:
    """Seconds by stage."""
    said, spent = record["seconds"], clock.seconds
    known = sum(spent[name] for name in STAGES)
    stages = {"decode": said["decode"]}
    if known:
        stages |= {name: spent[name] for name in STAGES}
        stages["expressions"] = spent["expressions"]
        stages["window, steadying"] = spent["track"] - known - spent["expressions"]
    else:
        stages["track"] = spent["track"]
    stages["look for cuts"] = spent["cuts"]
    # The way back to the first frame is made by the tracker as well.
    stages["look for faces"] = max(0.0, said["track"] + said["backwards"] - spent["track"])
    stages["write"] = said["write"]
    return stages


def _cpu() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
