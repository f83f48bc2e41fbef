"""The results of a comparison, which `facetrack.compare` returns and tables and reports show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.tracks import Tracks


@dataclass(frozen=True)
class Measure:
    """A measure, which is a column of the summary.

    Attributes:
        key: name in summary.json; see `column` for summary.csv.
        title: short title for display.
        unit: "%", "px", "ms", "fps", "MB", or "" for none.
        better: "lower", "higher", or "" if neither is better.
        digits: number of decimals shown.
        meaning: one sentence.
        needs_truth: whether it needs ground truth.
    """

    key: str
    title: str
    unit: str
    better: str
    digits: int
    meaning: str
    needs_truth: bool = False

    @property
    def column(self) -> str:
        """Name of the column in summary.csv, such as "drift_percent" or "fps"."""
        if self.unit in ("", self.key):
            return self.key
        return f"{self.key}_{self.unit.replace('%', 'percent')}"


@dataclass(frozen=True)
class Result:
    """The result of one method on the video.

    Attributes:
        label: "fan + tapir", unique in its comparison.
        init, tracker: names as on the command line.
        tracks: of one face, all frames.
        measures: by `Measure.key`; NaN or absent if unknown.
        series: by name, (T,) float64 each, NaN if unknown: "disagreement" (with the median of the
            methods, % of the inter-ocular distance), "drift" (from a detection in that frame, %),
            with ground truth "error" (NRMSE, %).
        seconds: by stage ("load", "search", "decode", "detect", "track", "write", ...).
        about: descriptions of detector, face detector and tracker (names, weights' sha256,
            licences, device), and the query frame.
        warnings: sentences about lost or inferred information.
        files: written for this method, by kind ("csv").
        events: decisions about the face, as in the record
            (`facetrack.multiface.face_track.Event`).
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
    """The results of several methods on one video, in the order of the options.

    Attributes:
        video: the video file or folder of images.
        input: path, sha256, width, height, frames, fps, codec, audio, as in the record.
        results: at least one.
        ranking: labels, best first; empty with a single method.
        ranked_by: key of the measure that ranks the methods.
        truth: (T, N, 2) float64 ground truth in pixels (NaN if unknown), or None.
        command: the command line or the call.
        environment: versions and machine (`facetrack.record.environment`).
        seconds: by stage, of the work that all methods share ("search", "decode", "faces", "draw",
            ...), and "total"; those of a method are in `Result.seconds`.
        options: of the comparison.
        warnings: sentences about the video, the ground truth and inits that were left out.
        peak_memory: of the process in MB (1e6 bytes); NaN if unknown.
        truth_visible: (T, N) bool true visibility if the ground truth has it, otherwise None.
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
