"""Options of a comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from facetrack import detectors
from facetrack.defaults import INIT
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import PIXELS, check_coordinates
from facetrack.trackers import factory
from facetrack.video.span import check_rate

INITS = (INIT,)
TRACKERS = ("tapir",)
ALL = "all"
"""The name that stands for all landmark detectors."""


@dataclass(frozen=True)
class CompareOptions:
    """The methods of a comparison and its settings.

    Attributes:
        inits: landmark detectors, named as for `facetrack track --init`, or only "all"; weights are
            "auto".
        trackers: point trackers; every init is combined with every tracker.
        scheme: the layout of the points; None for the detectors' own, or "68" if they have 68 and
            98 points.
        query_frame: 0-based frame on which the landmarks are detected; None for the first frame
            with a face.
        face_detector: the face detector's name.
        tracker_weights: of TAPIR: a registered name, "auto" or a checkpoint's path.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: of networks: "auto", "float32" or "bfloat16".
        check_every: seconds between the detections that drift is measured against; 0 disables them.
        cycle_frames: number of frames after the query frame over which points are tracked forwards
            and back for the cycle error; 0 disables it. It bounds the cost for any length of video.
        ground_truth: a path for `ground_truth.read_truth`, or None.
        fps: images per second of a series of images, or of the pages of a TIFF file; None for 25.
        coordinates: of the points in the tables of tracks; see `facetrack.measures.coordinates`.
    """

    inits: tuple[str, ...] = INITS
    trackers: tuple[str, ...] = TRACKERS
    scheme: str | None = None
    query_frame: int | None = None
    face_detector: str = "auto"
    tracker_weights: str = "tapir-s"
    device: str = "auto"
    precision: str = "auto"
    check_every: float = 1.0
    cycle_frames: int = 12
    ground_truth: Path | None = None
    fps: float | None = None
    coordinates: str = PIXELS

    def __post_init__(self) -> None:
        if self.inits == (ALL,):
            object.__setattr__(self, "inits", tuple(detectors.available()))
        _check("init", self.inits, detectors.available())
        _check("tracker", self.trackers, factory.available())
        if self.scheme is not None:
            schemes.get(self.scheme)
        check_coordinates(self.coordinates)
        if self.query_frame is not None and self.query_frame < 0:
            raise FacetrackError("--query-frame counts from 0: it cannot be negative.")
        if not (math.isfinite(self.check_every) and self.check_every >= 0):
            raise FacetrackError("--check-every must be a number of seconds, or 0 for never.")
        if self.fps is not None:
            check_rate(self.fps, self.fps)
        if self.cycle_frames < 0:
            raise FacetrackError("--cycle-frames must be a number of frames, or 0 for none.")


def _check(kind: str, chosen: tuple[str, ...], known: list[str]) -> None:
    if not chosen:
        raise FacetrackError(f"--{kind}s names none; choose from {', '.join(known)}.")
    for name in chosen:
        if name not in known:
            raise FacetrackError(f"There is no {kind} '{name}'; choose from {', '.join(known)}.")
    duplicate = next((name for name in chosen if chosen.count(name) > 1), None)
    if duplicate is not None:
        raise FacetrackError(f"--{kind}s names {duplicate} twice.")
