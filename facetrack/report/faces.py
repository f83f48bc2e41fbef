"""The measures of faces on the page: traces, events, and the summary card."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facetrack.comparison.results import Comparison
from facetrack.errors import FacetrackError
from facetrack.measures.events import Event
from facetrack.measures.face_measures import MEASURES, POSE, has_measures
from facetrack.measures.measured import Measured, measure_video
from facetrack.report.packing import pack
from facetrack.report.tables import UNKNOWN, shown

ANGLES = ("pose_Rx", "pose_Ry", "pose_Rz")
KINDS = {
    "blink": "blink",
    "wink": "wink",
    "closure": "long closure",
    "mouth_opening": "mouth opening",
}
SIDES = {"r": "right", "l": "left", "": ""}


@dataclass(frozen=True)
class SummaryRow:
    """A row of the summary card: title, unit, and a text per person or method."""

    title: str
    unit: str
    cells: list[str]


@dataclass(frozen=True)
class EyeEvent:
    """A row of the list of events of the eyes."""

    label: str
    subject: int
    kind: str
    frame: int
    start: str
    duration: str
    depth: str
    complete: str
    delay: str


def measure_results(
    comparison: Comparison, focal: float | None = None
) -> tuple[list[Measured | None], list[str]]:
    """Measure the face of each result.

    Returns:
        The measures, None where a layout or the size of the frames allows none; and sentences.
    """
    found: list[Measured | None] = []
    warnings = []
    for result in comparison.results:
        if not has_measures(result.tracks.scheme):
            found.append(None)
            continue
        try:
            found.append(measure_video(result.tracks, focal))
        except FacetrackError as error:
            found.append(None)
            warnings.append(f"{result.label} has no measures: {str(error).rstrip('.')}.")
    return found, warnings


def face_data(measured: Measured | None, stride: int) -> dict[str, Any] | None:
    """Return the data of one face for the page's scripts; None without measures.

    Angles are in degrees. Each measure is NaN where it is not valid.
    """
    if measured is None or not measured.faces:
        return None
    face = measured.faces[0]
    values = {}
    for name, array in face.values.items():
        degrees = np.degrees(array) if name in ANGLES else array
        values[name] = pack(degrees[::stride]) if np.isfinite(array[::stride]).any() else None
    return {
        "values": values,
        "valid": {name: _valid(face.values[name]) for name in face.values},
        "events": [_event(event) for event in measured.events],
        "ranges": {name: _degrees(face.values[name]) for name in ANGLES},
    }


def titles() -> dict[str, dict[str, str]]:
    """Return unit and meaning of each measure for the page's scripts."""
    return {
        m.name: {"unit": "°" if m.name in ANGLES else m.unit, "title": m.title} for m in MEASURES
    }


def _valid(values: np.ndarray) -> float:
    return round(float(np.isfinite(values).mean()), 4) if len(values) else 0.0


def _degrees(values: np.ndarray) -> list[float] | None:
    known = np.degrees(values[np.isfinite(values)])
    return np.percentile(known, (5, 50, 95)).round(2).tolist() if len(known) else None


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "side": event.side,
        "number": event.number,
        "start": round(event.start, 6),
        "peak": round(event.peak, 6),
        "end": round(event.end, 6),
        "frame": event.peak_frame,
        "complete": event.complete,
    }


def eye_events(labels: Sequence[str], measured: Sequence[Measured | None]) -> list[EyeEvent]:
    """Return the blinks, winks and closures of all faces, in order of time."""
    rows = []
    for index, (label, one) in enumerate(zip(labels, measured, strict=True)):
        for event in [] if one is None else one.events:
            if event.side:
                rows.append((event.start, _eye_event(label, index, event)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _eye_event(label: str, subject: int, event: Event) -> EyeEvent:
    delay = UNKNOWN if event.delay is None else f"{1000 * event.delay + 0.0:+.0f} ms"
    return EyeEvent(
        label=label,
        subject=subject,
        kind=f"{KINDS[event.kind]}, {SIDES[event.side]} eye",
        frame=event.peak_frame,
        start=f"{event.start:.2f}",
        duration=f"{1000 * event.duration:.0f} ms",
        depth=f"{100 * event.depth:.0f} %",
        complete="complete" if event.complete else "partial",
        delay=delay,
    )


# ---------------------------------------------------------------- summary card


def summary_rows(measured: Sequence[Measured | None]) -> list[SummaryRow]:
    """Return the rows of the summary card; empty without measures."""
    summaries = [one.summaries()[0] if one is not None and one.faces else None for one in measured]
    if not any(summaries):
        return []
    rows = []
    for title, unit, text in _CARD:
        cells = [UNKNOWN if summary is None else text(summary) for summary in summaries]
        if any(cell != UNKNOWN for cell in cells):
            rows.append(SummaryRow(title, unit, cells))
    return rows


Summary = Mapping[str, Any]


def _number(path: str, digits: int, factor: float = 1.0) -> Callable[[Summary], str]:
    def text(summary: Summary) -> str:
        value: Any = summary
        for name in path.split("/"):
            value = value[name]
        return shown(None if value is None else factor * float(value), digits)

    return text


def _spread(name: str, digits: int, factor: float = 1.0) -> Callable[[Summary], str]:
    def text(summary: Summary) -> str:
        values = summary["measures"][name]
        if values["median"] is None:
            return UNKNOWN
        low, middle, high = (shown(factor * values[k], digits) for k in ("p5", "median", "p95"))
        return f"{middle} ({low} to {high})"

    return text


def _valid_share(names: Sequence[str]) -> Callable[[Summary], str]:
    def text(summary: Summary) -> str:
        shares = [summary["measures"][name]["valid"] for name in names]
        return f"{100 * min(shares):.0f}"

    return text


def _blinks(summary: Summary) -> str:
    blinks = summary["events"]["blink"]
    if blinks["per_minute"] is None:
        return UNKNOWN
    return f"{blinks['count']} ({blinks['per_minute']:.1f})"


_DEGREES = 180 / math.pi
_CARD: tuple[tuple[str, str, Callable[[Summary], str]], ...] = (
    ("time with eyes in sight", "s", _number("seconds_with_eyes", 1)),
    ("blinks (a minute)", "", _blinks),
    ("blink duration, median", "ms", _number("events/blink/median_duration", 0, 1000)),
    ("blink depth, median", "%", _number("events/blink/median_depth", 0, 100)),
    ("complete blinks", "", _number("events/blink/complete", 0)),
    ("left eye later than right, median", "ms", _number("events/blink/median_delay", 0, 1000)),
    ("winks", "", _number("events/wink/count", 0)),
    ("long closures", "", _number("events/closure/count", 0)),
    ("mouth openings", "per minute", _number("events/mouth_opening/per_minute", 1)),
    ("mouth opening", "% IOD", _spread("mouth_open", 1)),
    ("mouth width", "% IOD", _spread("mouth_width", 1)),
    ("brow height, right", "% IOD", _spread("brow_r", 1)),
    ("brow height, left", "% IOD", _spread("brow_l", 1)),
    ("asymmetry of the eyes", "%", _spread("eye_asymmetry", 1, 100)),
    ("asymmetry of the brows", "%", _spread("brow_asymmetry", 1, 100)),
    ("asymmetry of the mouth corners", "%", _spread("lip_corner_asymmetry", 1, 100)),
    ("pitch, positive downwards", "°", _spread("pose_Rx", 0, _DEGREES)),
    ("yaw, positive to the left of the image", "°", _spread("pose_Ry", 0, _DEGREES)),
    ("roll, positive clockwise", "°", _spread("pose_Rz", 0, _DEGREES)),
    ("distance from the camera", "mm", _spread("pose_Tz", 0)),
    ("frames with a head pose", "%", _valid_share(POSE[3:])),
    ("frames with valid eyes", "%", _valid_share(("eye_r", "eye_l"))),
    ("frames with valid asymmetries", "%", _valid_share(("brow_asymmetry",))),
)
