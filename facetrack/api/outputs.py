"""Name the files that a run writes, and describe its options for the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from facetrack.errors import FacetrackError
from facetrack.formats.base import output_path
from facetrack.measures.coordinates import PIXELS, check_coordinates
from facetrack.measures.files import SUFFIXES
from facetrack.measures.lab_clock import format_utc
from facetrack.pipeline.options import Options

UNCORRECTED = "uncorrected"
"""Kind of the file that keeps the tracks before corrections by hand."""
UNCORRECTED_SUFFIX = ".uncorrected.npz"
"""End of its name, after the stem."""

MISSED_BLINKS = (
    "Lids and lips change their looks, and a tracker without the expression networks does not "
    "follow them: most blinks are missing in the measures. The networks run with --tracker tapir "
    "and --redetect auto, without --no-expressions and --raw."
)
"""Warning about measures of points that no network corrects."""


@dataclass(frozen=True)
class Outputs:
    """The files that a run writes.

    Attributes:
        folder: the output folder.
        formats: formats of the landmark files.
        overlay: also write the overlay video.
        report: also write an HTML report.
        measures: also write measures and events.
        focal: focal length of the camera in pixels, for head poses; None for OpenFace's rule.
        coordinates: of the points in the CSV; see `facetrack.measures.coordinates`.
        point_confidence: write the confidence of each point into the CSV.
        utc: UTC at the start of the video, without a time zone, for columns of absolute times;
            "now" for the clock of this computer, of a live source; None for no such columns.
        audio_offset: timestamp at which the sound starts, in seconds, for columns of times of the
            sound; "auto" for that of the file; None for no such columns.
        overlay_zoom: let the overlay video follow the faces, enlarged.
        keeps_uncorrected: also keep the tracks before corrections by hand.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = True
    report: bool = False
    measures: bool = False
    focal: float | None = None
    coordinates: str = PIXELS
    point_confidence: bool = False
    utc: datetime | str | None = None
    audio_offset: float | str | None = None
    overlay_zoom: bool = False
    keeps_uncorrected: bool = False

    def __post_init__(self) -> None:
        check_coordinates(self.coordinates)
        for option, value in (
            (f"--coordinates {self.coordinates}", self.coordinates != PIXELS),
            ("--point-confidence", self.point_confidence),
        ):
            if value and "csv" not in self.formats:
                raise FacetrackError(f"{option} is for --format csv.")
        if self.overlay_zoom and not self.overlay:
            raise FacetrackError("--overlay-zoom does not go with --no-overlay.")
        if self.audio_offset is not None and not self.measures:
            raise FacetrackError("--audio-offset is for the events of --measures.")

    def paths(self, stem: str) -> dict[str, Path]:
        """Return the final paths by kind."""
        paths = {name: output_path(name, self.folder, stem) for name in self.formats}
        if self.overlay:
            paths["overlay"] = self.folder / f"{stem}.overlay.mp4"
        if self.report:
            paths["report"] = self.folder / f"{stem}.report.html"
        if self.measures:
            for kind, suffix in SUFFIXES.items():
                paths[kind] = self.folder / f"{stem}{suffix}"
        if self.keeps_uncorrected:
            paths[UNCORRECTED] = self.folder / f"{stem}{UNCORRECTED_SUFFIX}"
        paths["sidecar"] = self.folder / f"{stem}.json"
        return paths


def record_last(paths: Mapping[str, Path]) -> list[Path]:
    """Return final paths by kind as a list that ends with the record."""
    return [path for kind, path in paths.items() if kind != "sidecar"] + [paths["sidecar"]]


def measures_warnings(options: Options, outputs: Outputs) -> list[str]:
    """Return warnings about measures that a run's options make less than they could be."""
    return [MISSED_BLINKS] if outputs.measures and options.misses_blinks else []


def options_record(options: Options, outputs: Outputs) -> dict[str, Any]:
    """Return the record's entry for the options."""
    known = dataclasses.asdict(options)
    for name in ("further_query_frames", "corrections"):
        if not known[name]:
            del known[name]  # as below
    return {
        **known,
        "formats": list(outputs.formats),
        "overlay": outputs.overlay,
        "report": outputs.report,
        # Absent by default, so that results of earlier versions count as complete.
        **({"measures": True} if outputs.measures else {}),
        **({"focal": outputs.focal} if outputs.focal is not None else {}),
        **({"coordinates": outputs.coordinates} if outputs.coordinates != PIXELS else {}),
        **({"point_confidence": True} if outputs.point_confidence else {}),
        **({"overlay_zoom": True} if outputs.overlay_zoom else {}),
        **({} if outputs.utc is None else {"utc": _utc_text(outputs.utc)}),
        **({} if outputs.audio_offset is None else {"audio_offset": outputs.audio_offset}),
    }


def _utc_text(utc: datetime | str) -> str:
    return utc if isinstance(utc, str) else format_utc(utc)
