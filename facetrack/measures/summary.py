"""Summarise the measures of a video: rates, medians and ranges of each face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack.measures.events import Event
from facetrack.measures.face_measures import NAMES, FaceMeasures

KINDS = ("blink", "wink", "closure", "mouth_opening")
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
    seconds = watched_seconds(face)
    return {
        "face_id": face.face_id,
        "seconds_with_eyes": round(seconds, 3),
        "inter_ocular_mm": _rounded(face.eye_distance),
        "measures": {name: _spread(face.values[name]) for name in NAMES},
        "events": {kind: _of_kind(own, kind, seconds) for kind in KINDS},
    }


def watched_seconds(face: FaceMeasures) -> float:
    """Return for how long at least one eye can be seen: the time to which rates refer.

    A pause of the video's clock is not watched.
    """
    if len(face.time) < 2:
        return 0.0
    usual = np.median(np.diff(face.time))
    steps = np.diff(face.time, append=face.time[-1] + usual)
    steps = np.where(steps > MAX_STEP * usual, usual, steps)
    seen = np.isfinite(face.lids["r"]) | np.isfinite(face.lids["l"])
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
    if kind != "mouth_opening":
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
    row = {name: summary[name] for name in ("face_id", "seconds_with_eyes", "inter_ocular_mm")}
    for kind, values in summary["events"].items():
        row |= {f"{kind}_{name}": value for name, value in values.items()}
    for measure, values in summary["measures"].items():
        row |= {f"{measure}_{name}": value for name, value in values.items()}
    return row
