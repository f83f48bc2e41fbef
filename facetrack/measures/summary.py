"""Summarise the measures of a video: rates, medians and ranges of each face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack.measures.events import Event
from facetrack.measures.face_measures import NAMES, FaceMeasures

MOUTH = "mouth_opening"
KINDS = ("blink", "wink", "closure", MOUTH)
MAX_STEP = 5.0
"""Longest time from one frame to the next, in usual ones; a longer one is a pause."""
PERCENTILES = {"p5": 5.0, "median": 50.0, "p95": 95.0}


def summarise(face: FaceMeasures, events: Sequence[Event]) -> dict[str, Any]:
    """Return the summary of a face, without NaN, for a record.

    Args:
        face: its measures.
        events: the events of all faces, or of this one.
    """
    own = [event for event in events if event.face_id == face.face_id]
    eyes = np.isfinite(face.lids["r"]) | np.isfinite(face.lids["l"])
    with_eyes = _seconds(face.time, eyes)
    with_mouth = _seconds(face.time, np.isfinite(face.values["mouth_open"]))
    seconds = {kind: with_mouth if kind == MOUTH else with_eyes for kind in KINDS}
    return {
        "face_id": face.face_id,
        "seconds_with_eyes": round(with_eyes, 3),
        "inter_ocular_mm": _rounded(face.eye_distance),
        "seconds_with_mouth": round(with_mouth, 3),
        "measures": {name: _spread(face.values[name]) for name in NAMES},
        "events": {kind: _of_kind(own, kind, seconds[kind]) for kind in KINDS},
    }


def _seconds(time: np.ndarray, seen: np.ndarray) -> float:
    """Return for how long something is seen: the time to which the rate of its events refers.

    A pause of the video's clock is not watched.

    Args:
        time: (T,) seconds.
        seen: (T,) bool.
    """
    if len(time) < 2:
        return 0.0
    usual = np.median(np.diff(time))
    steps = np.diff(time, append=time[-1] + usual)
    steps = np.where(steps > MAX_STEP * usual, usual, steps)
    return float(np.clip(steps, 0, None)[seen].sum())


def _spread(values: np.ndarray) -> dict[str, Any]:
    valid = values[np.isfinite(values)]
    share = len(valid) / max(len(values), 1)
    if not len(valid):
        return {"valid": 0.0, **dict.fromkeys(PERCENTILES)}
    found = {name: _rounded(np.percentile(valid, at)) for name, at in PERCENTILES.items()}
    return {"valid": round(share, 4), **found}


def _of_kind(events: Sequence[Event], kind: str, seconds: float) -> dict[str, Any]:
    chosen = [event for event in events if event.kind == kind]
    numbers = {event.number for event in chosen}
    result: dict[str, Any] = {
        "count": len(numbers),
        "per_minute": _rounded(60 * len(numbers) / seconds) if seconds > 0 else None,
        "median_duration": _median([event.duration for event in chosen]),
        "median_depth": _median([event.depth for event in chosen]),
    }
    if kind != MOUTH:
        complete = {event.number for event in chosen if event.complete}
        result["complete"] = len(complete)
    if kind == "blink":
        delays = {event.number: event.delay for event in chosen if event.delay is not None}
        result["median_delay"] = _median(list(delays.values()))
    return result


def _median(values: Sequence[float]) -> float | None:
    return _rounded(np.median(values)) if values else None


def _rounded(value: Any) -> float | None:
    return round(float(value), 4) + 0.0 if np.isfinite(value) else None


def flat(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary as one row of a table."""
    row = {name: value for name, value in summary.items() if name not in ("events", "measures")}
    for kind, values in summary["events"].items():
        row |= {f"{kind}_{name}": value for name, value in values.items()}
    for measure, values in summary["measures"].items():
        row |= {f"{measure}_{name}": value for name, value in values.items()}
    return row
