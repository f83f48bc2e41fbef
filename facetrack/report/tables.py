"""The page's tables: measures per method, times, events, weights, versions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from facetrack.comparison import measures as measures_of
from facetrack.comparison.results import Comparison, Measure, Result

UNKNOWN = "\N{EN DASH}"
STAGES = {
    "load": "load weights",
    "search": "find the face, place the points",
    "backwards": "track backwards",
    "decode": "decode",
    "detect": "detect",
    "track": "track",
    "write": "write",
    "total": "total",
}


@dataclass(frozen=True)
class Cell:
    """A value of the table.

    Attributes:
        text: the value as shown.
        value: the exact value, None if unknown.
        best: whether it is the best of its row.
    """

    text: str
    value: float | None
    best: bool


@dataclass(frozen=True)
class Row:
    """A measure of all methods, in their order."""

    measure: Measure
    cells: list[Cell]


@dataclass(frozen=True)
class UsedWeights:
    """A file of weights, the models that used it, and its licence."""

    part: str
    name: str
    licence: str
    noncommercial: bool
    sha256: str


PERSON = "person"
"""Beginning of the labels of the faces of one run."""


def are_people(results: Sequence[Result]) -> bool:
    """Return True if the results are several faces of one run, not several methods."""
    labels = [f"{PERSON} {int(result.tracks.face_id[0])}" for result in results]
    return len(results) > 1 and [result.label for result in results] == labels


def subject(results: Sequence[Result]) -> str:
    """Return what the results are: people, methods, or one run."""
    if len(results) == 1:
        return "Run"
    return "People" if are_people(results) else "Methods"


def measure_rows(
    results: Sequence[Result], measures: Sequence[Measure], ranked: bool = True
) -> list[Row]:
    """Return a row for each measure that is known for at least one method.

    Args:
        results: one per column.
        measures: the rows.
        ranked: mark the best of each row.
    """
    rows = []
    for measure in measures:
        values = [_finite(result.measures.get(measure.key)) for result in results]
        if all(value is None for value in values):
            continue
        texts = [shown(value, measure.digits) for value in values]
        best = measures_of.best(
            measure.key, [math.nan if v is None else v for v in values], measure.digits
        )
        cells = [
            Cell(t, v, ranked and i in best)
            for i, (t, v) in enumerate(zip(texts, values, strict=True))
        ]
        rows.append(Row(measure, cells))
    return rows


def shown(value: float | None, digits: int) -> str:
    """Format a number for display, without a minus sign if it rounds to zero."""
    return UNKNOWN if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def stage_rows(
    results: Sequence[Result], shared: Mapping[str, float]
) -> list[tuple[str, str, list[str]]]:
    """Return (stage, seconds shared by all methods, seconds of each) for stages that took time."""
    names = dict.fromkeys([*STAGES, *shared, *(name for r in results for name in r.seconds)])
    # The total comes last.
    names["total"] = names.pop("total")
    rows = []
    for name in names:
        common = _finite(shared.get(name))
        values = [_finite(r.seconds.get(name)) for r in results]
        if common or any(values):
            rows.append((STAGES.get(name, name), shown(common, 2), [shown(v, 2) for v in values]))
    return rows


@dataclass(frozen=True)
class EventRow:
    """A decision about a face, and the fraction of its points visible before and after."""

    frame: int
    time: str
    method: str
    reason: str
    before: str
    after: str


REASONS = {
    "found": "found",
    "cut": "the shot ends",
    "lost": "lost: hardly a point seen for a second",
    "returned": "found again by the detectors",
    "seen again": "seen again by the tracker",
    "drift": "placed again: the points had left the face",
    "no face": "given up: no face is there",
    "other person": "the points were on another person",
    "same face": "given up: another track follows this face",
    "uncovered": "covered points are visible, and tracked from here on",
}


def event_rows(results: Sequence[Result]) -> list[EventRow]:
    """Return the decisions about all faces, in order of time."""
    rows = []
    for result in results:
        for event in result.events:
            reason, _, where = str(event.get("reason", "?")).partition(", ")
            rows.append(
                EventRow(
                    frame=int(event.get("frame", 0)),
                    time=shown(_finite(event.get("time")), 2),
                    method=result.label,
                    reason=REASONS.get(reason, reason) + (f" ({where})" if where else ""),
                    before=_visible_share(event.get("before")),
                    after=_visible_share(event.get("after")),
                )
            )
    return sorted(rows, key=lambda row: row.frame)


def _visible_share(state: Any) -> str:
    seen = _finite(state.get("seen")) if isinstance(state, Mapping) else None
    return UNKNOWN if seen is None else f"{100 * seen:.0f} %"


def shown_memory(megabytes: float) -> str | None:
    """Format the peak memory for display; None if it is unknown."""
    return f"{megabytes:.0f} MB" if math.isfinite(megabytes) else None


def ordered(comparison: Comparison) -> list[Result]:
    """Return the methods, best first if they are ranked."""
    place = {label: i for i, label in enumerate(comparison.ranking)}
    return sorted(comparison.results, key=lambda r: place.get(r.label, len(place)))


def weights_used(results: Sequence[Result]) -> list[UsedWeights]:
    """Return every file of weights that the methods used, once, with all models that used it."""
    found: dict[tuple[str, str], UsedWeights] = {}
    for result in results:
        for part, described in result.about.items():
            for file in _files(described):
                weights = UsedWeights(
                    part=part.replace("_", " "),
                    name=_text(file.get("weights") or file.get("name")),
                    licence=_text(file.get("licence")),
                    noncommercial=bool(file.get("noncommercial")),
                    sha256=_text(file.get("sha256")),
                )
                known = found.setdefault((weights.name, weights.sha256), weights)
                if weights.part not in known.part.split(", "):
                    parts = f"{known.part}, {weights.part}"
                    found[weights.name, weights.sha256] = replace(known, part=parts)
    return list(found.values())


def input_facts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return facts about the video for display, as (name, value)."""
    facts = []
    if content.get("width") and content.get("height"):
        facts.append(("size", f"{content['width']} x {content['height']} pixels"))
    rate = content.get("fps") or content.get("header_fps")
    for name, value in (
        ("frames", content.get("frames")),
        ("frames per second (header)", rate),
        ("codec", content.get("codec")),
        ("sound", content.get("audio")),
        ("rotation", f"{content['rotation']}°" if content.get("rotation") else None),
        ("file", content.get("path")),
        ("SHA-256", content.get("sha256")),
    ):
        if value is not None:
            facts.append((name, _text(value)))
    return facts


def flat(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, value) of all values in nested mappings and lists, names joined by dots."""
    if isinstance(content, Mapping):
        for name in sorted(content):
            yield from flat(content[name], f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, list | tuple) and any(isinstance(x, Mapping | list) for x in content):
        for i, value in enumerate(content):
            yield from flat(value, f"{prefix}.{i}")
    else:
        yield prefix, _text(content)


def _files(described: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all nested mappings that contain a file's hash."""
    if isinstance(described, Mapping):
        if described.get("sha256"):
            yield described
        for value in described.values():
            yield from _files(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from _files(value)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _text(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(x) for x in value) or UNKNOWN
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
