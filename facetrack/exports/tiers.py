"""Arrange the events of a video in tiers of intervals, as tools for annotations show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from facetrack.exports.base import Source
from facetrack.measures.events import Event
from facetrack.measures.smoothing import runs_of

SIDES = {"r": "right eye", "l": "left eye", "": "mouth"}
"""Name of the part by `Event.side`."""


@dataclass(frozen=True)
class Interval:
    """A labelled interval, in seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Tier:
    """Intervals of one kind, in order of time, which do not overlap."""

    name: str
    intervals: tuple[Interval, ...]


def tiers_of(source: Source) -> list[Tier]:
    """Return the tiers of each face: when it is tracked, and the events of its eyes and mouth.

    Raises:
        FacetrackError: the layout has no events.
    """
    tiers = []
    tracks = source.tracks
    events = source.measured.events
    for index, face_id in enumerate(tracks.face_id.tolist()):
        name = f"face {face_id}"
        # A frame is shown until the next.
        ends = [*tracks.time[1:].tolist(), source.end]
        tracked = [
            Interval(float(tracks.time[run.start]), ends[run.stop - 1], "tracked")
            for run in runs_of(tracks.success[:, index])
        ]
        tiers.append(Tier(f"{name} tracked", tuple(tracked)))
        for side, part in SIDES.items():
            own = [e for e in events if (e.face_id, e.side) == (face_id, side)]
            tiers.append(Tier(f"{name} {part}", _disjoint(own)))
    return tiers


def label_of(event: Event) -> str:
    """Return the name of an event, with a note if the eye was not shut."""
    name = event.kind.replace("_", " ")
    return f"partial {name}" if event.complete is False else name


def _disjoint(events: Iterable[Event]) -> tuple[Interval, ...]:
    """Return events as intervals; where two overlap, the first ends where the second starts."""
    ordered = sorted(events, key=lambda event: (event.start, event.end))
    intervals: list[Interval] = []
    for event in ordered:
        if intervals and intervals[-1].end > event.start:
            last = intervals.pop()
            if event.start > last.start:
                intervals.append(Interval(last.start, event.start, last.label))
        if event.end > event.start:
            intervals.append(Interval(event.start, event.end, label_of(event)))
    return tuple(intervals)
