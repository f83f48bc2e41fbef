"""Write TextGrid files of Praat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facetrack.exports.base import Source
from facetrack.exports.tiers import SIDES, Interval, label_of, tiers_of
from facetrack.files import atomic_path

SUFFIX = ".TextGrid"


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.TextGrid`; see `facetrack.exports.base.Write`.

    Interval tiers hold the events, point tiers the peaks of the closures and openings.
    """
    start, end = min(0.0, float(source.tracks.time[0])), source.end
    tiers = [
        _tier("IntervalTier", tier.name, start, end, _filled(tier.intervals, start, end))
        for tier in tiers_of(source)
    ]
    for face_id in source.tracks.face_id.tolist():
        for side, part in SIDES.items():
            own = [e for e in source.measured.events if (e.face_id, e.side) == (face_id, side)]
            peaks = sorted({event.peak: label_of(event) for event in own}.items())
            rows = [
                [f"number = {_seconds(time)}", f"mark = {_text(label)}"] for time, label in peaks
            ]
            tiers.append(_tier("TextTier", f"face {face_id} {part} peaks", start, end, rows))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        f"xmin = {_seconds(start)}",
        f"xmax = {_seconds(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, tier in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", *tier]
    with atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return []


def _tier(kind: str, name: str, start: float, end: float, rows: list[list[str]]) -> list[str]:
    unit = "intervals" if kind == "IntervalTier" else "points"
    lines = [
        f"        class = {_text(kind)}",
        f"        name = {_text(name)}",
        f"        xmin = {_seconds(start)}",
        f"        xmax = {_seconds(end)}",
        f"        {unit}: size = {len(rows)}",
    ]
    for number, row in enumerate(rows, start=1):
        lines.append(f"        {unit} [{number}]:")
        lines += [f"            {entry}" for entry in row]
    return lines


def _filled(intervals: tuple[Interval, ...], start: float, end: float) -> list[list[str]]:
    """Return intervals that cover the whole time, as Praat needs; those between have no label."""
    return [
        [f"xmin = {_seconds(i.start)}", f"xmax = {_seconds(i.end)}", f"text = {_text(i.label)}"]
        for i in _covering(intervals, start, end)
    ]


def _covering(intervals: tuple[Interval, ...], start: float, end: float) -> Iterator[Interval]:
    at = start
    for interval in intervals:
        first, last = max(interval.start, at), min(interval.end, end)
        if _seconds(first) != _seconds(at) and first > at:
            yield Interval(at, first, "")
            at = first
        if last > at:
            yield Interval(at, last, interval.label)
            at = last
    if end > at or at == start:
        yield Interval(at, end, "")


def _seconds(value: float) -> str:
    return f"{value + 0.0:.6f}"


def _text(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
