"""Write the measures and the events of a video as CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.files import atomic_path
from facetrack.measures.events import Event
from facetrack.measures.face_measures import MEASURES, POSE, FaceMeasures
from facetrack.measures.lab_clock import UTC_COLUMN, LabClock
from facetrack.tables import TableWriter

SUFFIXES = {"measures": ".measures.csv", "events": ".events.csv"}
"""End of the file names by kind."""
RECORD_SUFFIX = ".measures.json"
"""End of the name of the record of measures that were computed from saved tracks."""
FIRST_COLUMNS = ("frame", "face_id", "timestamp")
VALID_NAMES = ("pose", *(m.name for m in MEASURES if m.name not in POSE))
"""What has a column of its own for its validity; the six numbers of a pose are valid together."""
MEASURE_COLUMNS = (
    *FIRST_COLUMNS,
    *(measure.name for measure in MEASURES),
    *(f"{name}_valid" for name in VALID_NAMES),
)
EVENT_COLUMNS = (
    *("face_id", "event", "side", "number", "start", "peak", "end", "duration"),
    *("peak_frame", "depth", "complete", "delay"),
)
_MOMENTS = ("start", "peak", "end")
"""Moments of an event; with clocks of the laboratory each has further columns."""
DIGITS_OF_POSE = (2, 2, 2, 5, 5, 5)
"""Decimals of millimetres and radians; other measures have five, or three for percentages."""
_DIGITS = dict(zip(POSE, DIGITS_OF_POSE, strict=True))


def write_measures(
    path: Path, faces: Sequence[FaceMeasures], clock: LabClock | None = None
) -> None:
    """Write one row per frame and face: frame, face, time, measures, validities, UTC if known.

    A measure that is not valid is an empty cell, and its `_valid` is 0.

    Raises:
        FacetrackError: the file cannot be written.
    """
    digits = [
        _DIGITS.get(measure.name, 3 if measure.unit.startswith("%") else 5) for measure in MEASURES
    ]
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as f:
        utc_clock = clock if clock is not None and clock.utc is not None else None
        f.write(",".join([*MEASURE_COLUMNS, *([UTC_COLUMN] if utc_clock else [])]) + "\n")
        tables = [_table(face) for face in faces]
        valid = [validity(face) for face in faces]
        if not faces:
            return
        ends = [""] * len(faces[0].time)
        if utc_clock is not None:
            ends = [f",{text}" for text in utc_clock.utc_texts(faces[0].time)]
        for row, frame in enumerate(faces[0].frames.tolist()):
            for face, table, marks in zip(faces, tables, valid, strict=True):
                cells = [
                    "" if not np.isfinite(value) else f"{round(value, n) + 0.0:.{n}f}"
                    for value, n in zip(table[row].tolist(), digits, strict=True)
                ]
                start = f"{frame},{face.face_id},{round(face.time[row], 6) + 0.0:.6f}"
                line = ",".join([start, *cells, *map(str, marks[row].tolist())])
                f.write(f"{line}{ends[row]}\n")


def write_events(path: Path, events: Iterable[Event], clock: LabClock | None = None) -> None:
    """Write one row per event, with its times on the sound's clock and in UTC if these are known.

    Raises:
        FacetrackError: the file cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as f:
        f.write(",".join([*EVENT_COLUMNS, *_clock_columns(clock)]) + "\n")
        for event in events:
            cells = [
                *(str(event.face_id), event.kind, event.side, str(event.number)),
                *(f"{t + 0.0:.6f}" for t in (event.start, event.peak, event.end, event.duration)),
                *(str(event.peak_frame), f"{event.depth:.4f}"),
                "" if event.complete is None else str(int(event.complete)),
                "" if event.delay is None else f"{event.delay + 0.0:.4f}",
                *_clock_cells(event, clock),
            ]
            f.write(",".join(cells) + "\n")


def _clock_columns(clock: LabClock | None) -> list[str]:
    names = []
    if clock is not None and clock.audio_start is not None:
        names += [f"{name}_audio" for name in _MOMENTS]
    if clock is not None and clock.utc is not None:
        names += [f"{name}_{UTC_COLUMN}" for name in _MOMENTS]
    return names


def _clock_cells(event: Event, clock: LabClock | None) -> list[str]:
    moments = np.array([event.start, event.peak, event.end])
    cells = []
    if clock is not None and clock.audio_start is not None:
        seconds = np.round(moments - clock.audio_start, 6) + 0.0
        cells += [f"{moment:.6f}" for moment in seconds.tolist()]
    if clock is not None and clock.utc is not None:
        cells += clock.utc_texts(moments)
    return cells


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table of several videos: one row per video and face.

    Raises:
        FacetrackError: the file cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as f,
    ):
        writer = TableWriter(f)
        writer.writerow(columns)
        for row in rows:
            values = (row.get(name) for name in columns)
            writer.writerow(["" if value is None else value for value in values])


def _table(face: FaceMeasures) -> np.ndarray:
    return np.stack([face.values[measure.name] for measure in MEASURES], axis=1)


def validity(face: FaceMeasures) -> np.ndarray:
    """Return for each of VALID_NAMES in which frames it is valid, (T, V) of 0 or 1."""
    columns = [face.poses.known, *(np.isfinite(face.values[name]) for name in VALID_NAMES[1:])]
    return np.stack(columns, axis=1).astype(int)
