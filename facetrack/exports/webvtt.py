"""Write WebVTT subtitles of events."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from facetrack.exports.base import Source
from facetrack.exports.tiers import SIDES, label_of
from facetrack.files import atomic_path
from facetrack.measures.events import Event

SUFFIX = ".vtt"


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.vtt`; see `facetrack.exports.base.Write`.

    One cue per event; both eyes of a blink share one. The voice is the face.
    """
    groups: dict[tuple[int, bool, int], list[Event]] = defaultdict(list)
    for event in source.measured.events:
        groups[event.face_id, event.side == "", event.number].append(event)
    cues = sorted(_cue(events) for events in groups.values())
    lines = ["WEBVTT", "", "NOTE Events found by facetrack; times are those of the video."]
    for number, (start, end, text) in enumerate(cues, start=1):
        lines += ["", str(number), f"{_timestamp(start)} --> {_timestamp(end)}", text]
    with atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return []


def _cue(events: list[Event]) -> tuple[int, int, str]:
    """Return start and end in milliseconds, and the text, of one event of one or both eyes."""
    first = events[0]
    start = max(0, round(1000 * min(event.start for event in events)))
    end = max(start + 1, round(1000 * max(event.end for event in events)))
    # A blink is partial if neither eye was shut.
    label = label_of(next((event for event in events if event.complete), first))
    note = f" ({SIDES[first.side]})" if first.side and len(events) == 1 else ""
    return start, end, f"<v face {first.face_id}>{label}{note}"


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
