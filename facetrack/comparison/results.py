"""What a comparison finds: the value that `facetrack.compare` makes and tables and reports show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.tracks import Tracks


@dataclass(frozen=True)
class Measure:
    """One column of the summary.

    Attributes:
        key: in summary.json and summary.csv.
        title: for people, short.
        unit: "%", "px", "ms", "fps", "MB", or "" for none.
        better: "lower", "higher", or "" where there is no better.
        digits: decimals shown.
        meaning: one sentence.
        needs_truth: whether it is known only with ground truth.
    """

    key: str
    title: str
    unit: str
    better: str
    digits: int
    meaning: str
    needs_truth: bool = False


@dataclass(frozen=True)
class Result:
    """One method on the video.

    Attributes:
        label: "fan + tapir", unique in its comparison.
        init, tracker: names, as on the command line.
        tracks: of one face, all frames.
        measures: by `Measure.key`; NaN or absent where unknown.
        series: by name, (T,) float64 each, NaN where unknown: "disagreement" (from the median of
            the methods, % of the inter-ocular distance), "drift" (from a detection of that frame,
            %), with ground truth "error" (NRMSE, %).
        seconds: by stage ("load", "search", "decode", "detect", "track", "write", ...).
        about: what detector, face detector and tracker say of themselves (names, weights' sha256,
            licences, device), and the query frame.
        warnings: sentences about what was lost or guessed.
        files: written for this method, by kind ("csv").
        events: what was decided about the face, as the sidecar has it (`facetrack.multiface.face_track.Event`).
    """

    label: str
    init: str
    tracker: str
    tracks: Tracks
    measures: dict[str, float]
    series: dict[str, np.ndarray]
    seconds: dict[str, float]
    about: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Methods on one video, in the order that they were asked for.

    Attributes:
        video: the video file or folder of images.
        input: path, sha256, width, height, frames, fps, codec, audio, as the sidecar says.
        results: at least one.
        ranking: labels, best first; empty where there is nothing to rank.
        ranked_by: key of the measure that ranks.
        truth: (T, N, 2) float64 ground truth in pixels (NaN where unknown), or None.
        command: what was typed, or the call.
        environment: versions and machine (`output.sidecar.environment`).
        seconds: by stage, of what all methods share ("search", "decode", "faces", "draw", ...),
            and "total"; a method's own are in `Result.seconds`.
        options: what the comparison was asked to do.
        warnings: sentences about the video, the ground truth and inits that were left out.
        peak_memory: most memory the process has held, in MB (1e6 bytes); NaN where unknown.
        truth_visible: (T, N) bool where the ground truth says what can be seen, else None.
        files: written for all methods together, by kind ("overlay", "csv", "json", "report").
    """

    video: Path
    input: dict[str, Any]
    results: list[Result]
    ranking: list[str]
    ranked_by: str
    truth: np.ndarray | None
    command: str
    environment: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    peak_memory: float = math.nan
    truth_visible: np.ndarray | None = None
    files: dict[str, Path] = field(default_factory=dict)
