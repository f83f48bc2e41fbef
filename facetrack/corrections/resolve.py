"""Apply corrections of whole faces to tracks, and sort corrected points by face and frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facetrack.corrections.correction import ABSENT, PERSON, START, Correction
from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

MIN_START_POINTS = 3
"""Corrected points from which on a face can be tracked where it was not tracked before."""
MAX_SHOWN = 12
"""Largest number of frames, or of runs of them, that a warning lists."""
Absence = tuple[int, int, "int | None"]
"""face_id, first row, and last row or None; see `facetrack.corrections.correction.ABSENT`."""
_BACKWARDS = "on the way back"
_NEW_TRACK = ("found", "returned", "other person")


@dataclass(frozen=True)
class Placement:
    """Landmarks that a detector has placed on a face.

    Attributes:
        row: of the tracks.
        face: face_id.
        xy: (N, 2) pixels.
        visible: (N,) bool, the landmarks that nothing covers.
    """

    row: int
    face: int
    xy: np.ndarray
    visible: np.ndarray


@dataclass
class FrameEdit:
    """The corrected points of a face in one frame.

    Attributes:
        points: (x, y) in pixels, by landmark.
        hidden: landmarks that are covered.
        is_start: whether earlier tracks of the face do not count.
        placement: landmarks of a detector, which are a start, too; None without one.
    """

    points: dict[int, tuple[float, float]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    is_start: bool = False
    placement: Placement | None = None

    def target(self, count: int) -> np.ndarray:
        """Return the points as (count, 2), NaN where not corrected."""
        xy = np.full((count, 2), np.nan)
        for point, place in self.points.items():
            xy[point] = place
        return xy


@dataclass(frozen=True)
class Resolved:
    """Corrections, applied as far as no tracker is needed.

    Attributes:
        tracks: with identities and absences as corrected; may have more faces than before.
        edits: corrected points, by face_id and by row of the tracks.
        splits: by face_id, rows at which a new track of it begins although the row before has it.
        warnings: sentences about corrections that are not used.
    """

    tracks: Tracks
    edits: dict[int, dict[int, FrameEdit]]
    splits: dict[int, set[int]]
    warnings: list[str]


def split_rows(tracks: Tracks, events: Iterable[Mapping[str, Any]]) -> dict[int, set[int]]:
    """Return by face_id the rows at which a track of it begins anew, by a run's events.

    Args:
        tracks: of the run.
        events: of its record.
    """
    splits: dict[int, set[int]] = {int(face): set() for face in tracks.face_id}
    for event in events:
        reason, frame = str(event.get("reason", "")), event.get("frame")
        if not isinstance(frame, int):
            continue
        kind = reason.split(",")[0]
        # Backwards the event's frame is the last one of what begins there.
        row = (frame - tracks.first_frame) // tracks.stride + reason.endswith(_BACKWARDS)
        if kind == "cut":
            for rows in splits.values():
                rows.add(row)
        elif kind in _NEW_TRACK and event.get("face_id") in splits:
            splits[int(event["face_id"])].add(row)
    return splits


def segment_of(present: np.ndarray, splits: Iterable[int], row: int) -> tuple[int, int]:
    """Return the first and the last row of what is tracked, or is absent, without a break.

    Args:
        present: (T,) bool, the rows that have the face.
        splits: rows at which a new track begins.
        row: a row of it.
    """
    changes = np.flatnonzero(present[1:] != present[:-1]) + 1
    starts = sorted({0, len(present), *changes.tolist(), *splits})
    position = int(np.searchsorted(starts, row, side="right"))
    last = min(starts[position], len(present)) - 1 if position < len(starts) else len(present) - 1
    return max(starts[position - 1], 0), last


def resolve(
    tracks: Tracks,
    corrections: Sequence[Correction],
    splits: Mapping[int, set[int]],
    placements: Sequence[Placement] = (),
) -> Resolved:
    """Apply identities and absences, and sort the corrected points.

    A correction refers to the faces as they were called when it was made.

    Args:
        tracks: before any correction.
        corrections: those in force, in the order in which they were made.
        splits: see `split_rows`.
        placements: landmarks that a detector has placed, before any correction.

    Raises:
        FacetrackError: a landmark does not exist in the tracks' layout.
    """
    if any(correction.point in (PERSON, ABSENT) for correction in corrections):
        # Only these change rows; many runs of a long video may share what they do not change.
        arrays = {name: getattr(tracks, name).copy() for name in ("xy", "visible", "confidence")}
        tracks = replace(tracks, **arrays)
    work = _Resolver(tracks, {face: set(rows) for face, rows in splits.items()})
    for placement in placements:
        work.place(placement)
    for correction in corrections:
        work.add(correction)
    return work.finish()


class _Resolver:
    def __init__(self, tracks: Tracks, splits: dict[int, set[int]]) -> None:
        self._faces = [int(face) for face in tracks.face_id]
        self._tracks, self._splits = tracks, splits
        self._edits: dict[int, dict[int, FrameEdit]] = {}
        self._absences: list[Absence] = []
        self._warnings: list[str] = []
        self._lost: dict[int, set[int]] = {}

    def place(self, placement: Placement) -> None:
        if placement.face not in self._faces:
            self._add_face(placement.face)
        edit = self._edit(placement.face, placement.row)
        edit.placement, edit.is_start = placement, True

    def add(self, correction: Correction) -> None:
        tracks = self._tracks
        steps = correction.frame - tracks.first_frame
        row, rest = divmod(steps, tracks.stride)
        if rest or not 0 <= row < len(tracks):
            self._warn(f"Frame {correction.frame} of a correction is not among those tracked.")
            return
        face, point = correction.face, correction.point
        if isinstance(point, int) and point >= tracks.xy.shape[2]:
            raise FacetrackError(
                f"A correction names point {point}, and the tracks have {tracks.xy.shape[2]}."
            )
        if face not in self._faces:
            self._add_face(face)
        if point == PERSON:
            self._exchange(row, face, correction.number or 0)
        elif point == ABSENT:
            last = correction.number
            end = None if last is None else (last - tracks.first_frame) // tracks.stride
            self._absences.append((face, row, end))
        elif point == START:
            self._edit(face, row).is_start = True
        elif isinstance(point, int):
            assert correction.x is not None
            assert correction.y is not None
            edit = self._edit(face, row)
            edit.points[point] = (correction.x, correction.y)
            (edit.hidden.add if correction.hidden else edit.hidden.discard)(point)

    def finish(self) -> Resolved:
        for face, row, end in self._absences:
            self._remove(face, row, end)
        self._warn_of_lost()
        edits: dict[int, dict[int, FrameEdit]] = {}
        for face, rows in self._edits.items():
            present = self._present(face)
            for row, edit in sorted(rows.items()):
                absent = not present[row]
                few = edit.placement is None and len(edit.points) < MIN_START_POINTS
                if absent and few:
                    frame = int(self._tracks.frames[row])
                    self._warn(
                        f"Face {face} is not tracked in frame {frame}: correct at least "
                        f"{MIN_START_POINTS} of its points there to start it."
                    )
                    continue
                edit.is_start |= absent
                edits.setdefault(face, {})[row] = edit
        return Resolved(self._tracks, edits, self._splits, self._warnings)

    def _edit(self, face: int, row: int) -> FrameEdit:
        return self._edits.setdefault(face, {}).setdefault(row, FrameEdit())

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def _add_face(self, face: int) -> None:
        self._tracks = self._tracks.with_faces([*self._faces, face])
        self._faces.append(face)
        cuts = set.intersection(*self._splits.values()) if self._splits else set()
        self._splits[face] = cuts

    def _present(self, face: int) -> np.ndarray:
        column = self._faces.index(face)
        return np.asarray(np.isfinite(self._tracks.xy[:, column]).all(-1).any(-1))

    def _exchange(self, row: int, face: int, other: int) -> None:
        """Let two faces change over from a row to the end of what is tracked of the first."""
        if other == face:
            return
        if other not in self._faces:
            self._add_face(other)
        _, last = segment_of(self._present(face), self._splits[face], row)
        a, b = self._faces.index(face), self._faces.index(other)
        rows = slice(row, last + 1)
        for array in (self._tracks.xy, self._tracks.visible, self._tracks.confidence):
            array[rows, [a, b]] = array[rows, [b, a]]
        edits = self._edits
        mine, theirs = edits.setdefault(face, {}), edits.setdefault(other, {})
        for at in [r for r in {*mine, *theirs} if row <= r <= last]:
            one, two = mine.pop(at, None), theirs.pop(at, None)
            if one is not None:
                theirs[at] = one
            if two is not None:
                mine[at] = two
        names = {face: other, other: face}
        self._absences = [
            part for absence in self._absences for part in _renamed(absence, row, last, names)
        ]
        # Both faces have another track before and after.
        for changed in (face, other):
            self._splits[changed] |= {row, last + 1}

    def _remove(self, face: int, row: int, end: int | None) -> None:
        if end is None:
            _, end = segment_of(self._present(face), self._splits[face], row)
            following = [r for r in self._edits.get(face, {}) if r > row]
            end = min([end, *(r - 1 for r in following)])
        column = self._faces.index(face)
        rows = slice(row, min(end, len(self._tracks) - 1) + 1)
        self._tracks.xy[rows, column] = np.nan
        self._tracks.visible[rows, column] = False
        self._tracks.confidence[rows, column] = 0
        edits = self._edits.get(face, {})
        for at in [r for r in edits if row <= r <= end and not edits[r].is_start]:
            del edits[at]
            self._lost.setdefault(face, set()).add(at)

    def _warn_of_lost(self) -> None:
        """Say which corrected points do not count because their face is absent."""
        frames = self._tracks.frames
        lost = [(face, frames[sorted(rows)]) for face, rows in sorted(self._lost.items())]
        if lost:
            points = " and ".join(f"of face {face} in {_in_words(at)}" for face, at in lost)
            self._warn(
                f"Corrected points {points} do not count: another correction says that the face is "
                "not there."
            )


def _in_words(frames: np.ndarray) -> str:
    """Return indices of frames, which rise, as "frames 3, 5, 7 to 12"."""
    breaks = np.flatnonzero(np.diff(frames) > 1) + 1
    runs = [run.tolist() for run in np.split(frames, breaks)]
    shown = ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs[:MAX_SHOWN])
    left = sum(map(len, runs[MAX_SHOWN:]))
    more = f" and {left} more" if left else ""
    return f"frame{'s' if len(frames) > 1 else ''} {shown}{more}"


def _renamed(absence: Absence, row: int, last: int, names: Mapping[int, int]) -> Iterator[Absence]:
    """Yield the parts of an absence after faces have got other names in rows [row, last].

    One without an end ends before the rows, where another track begins.
    """
    face, begin, end = absence
    if face not in names or begin > last or (begin < row and (end is None or end < row)):
        yield absence
        return
    if begin < row:
        yield face, begin, row - 1
    yield names[face], max(begin, row), end if end is None else min(end, last)
    if end is not None and end > last:
        yield face, last + 1, end
