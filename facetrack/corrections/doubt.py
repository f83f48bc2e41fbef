"""Rank the frames of tracks by doubt, and say why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.tracks import Tracks

LOW_CONFIDENCE, DISAGREEMENT, JUMP, SHAPE, EVENT, ABSENT = (
    "low confidence",
    "disagreement",
    "jump",
    "implausible shape",
    "event",
    "no points",
)
REASONS = (LOW_CONFIDENCE, DISAGREEMENT, JUMP, SHAPE, EVENT, ABSENT)
"""Kinds of reasons."""
CONFIDENT = 0.6
"""Confidence of a point from which on nothing is doubted."""
AGREEING = 0.02
"""Distance of the two directions, in sizes of the face, up to which they agree."""
STEADY = 0.02
"""Jump of a point relative to its face, in sizes of the face from frame to frame, that is usual."""
PLAUSIBLE = 0.8
"""Shape error up to which a shape is plausible; most faces have 0.3 to 0.6."""
EVENT_DOUBT = {
    "drift": 0.9,
    "other person": 0.9,
    "no face": 0.8,
    "lost": 0.6,
    "returned": 0.6,
    "seen again": 0.5,
    "same face": 0.6,
    "found": 0.3,
    "uncovered": 0.3,
    "cut": 0.2,
}
"""Doubt of each event of a run; a cut by itself is no fault."""
NEIGHBOURS = 25
"""Frames around a doubtful one that are not listed again for the same reason."""
_EVENT_TEXT = {
    "drift": "the points had drifted off and were placed again",
    "other person": "the points were on another person",
    "no face": "no face was found at the points",
    "lost": "the face was lost here",
    "returned": "the face came back here",
    "seen again": "the tracker saw the face again here",
    "same face": "two tracks followed the same face",
    "found": "a new face was found here",
    "uncovered": "covered points came to light here",
    "cut": "a new shot begins here",
}


@dataclass(frozen=True)
class Reason:
    """Why a frame is doubtful.

    Attributes:
        kind: one of REASONS.
        text: a sentence for people, without a full stop.
        doubt: from 0 to 1.
        points: the landmarks concerned, the most doubtful first; empty: the whole face.
    """

    kind: str
    text: str
    doubt: float
    points: tuple[int, ...] = ()


@dataclass(frozen=True)
class Doubt:
    """A doubtful face in a frame.

    Attributes:
        frame: index of the frame in the video.
        face: face_id.
        doubt: from 0 to 1; reasons add up as independent ones.
        reasons: the strongest first.
    """

    frame: int
    face: int
    doubt: float
    reasons: tuple[Reason, ...]


def rank_doubts(
    tracks: Tracks,
    events: Iterable[Mapping[str, Any]] = (),
    shapes: ShapeModel | None = None,
    disagreement: np.ndarray | None = None,
    limit: int | None = 500,
) -> list[Doubt]:
    """Return the doubtful frames of tracks, the most doubtful first.

    Of neighbouring frames with the same strongest reason only the most doubtful one is listed.
    Frames in which a person has corrected the face are left out.

    Args:
        tracks: the tracks.
        events: of the run's record.
        shapes: judges the shapes of faces with 68 points; None to leave them out.
        disagreement: (T, F, N) distances of tracking forwards and backwards, in sizes of the face,
            NaN where they are not known; None without any.
        limit: largest number of frames; None for all.
    """
    measured = _Measured(tracks, shapes, disagreement)
    by_event = _events(tracks, events)
    found: list[Doubt] = []
    for column, face in enumerate(tracks.face_id.tolist()):
        total, strongest = measured.total(column)
        for row, reasons in by_event.get(face, {}).items():
            for reason in reasons:
                total[row] = 1 - (1 - total[row]) * (1 - reason.doubt)
        if tracks.corrected is not None:
            total[tracks.corrected[:, column].any(-1)] = 0
        for row in _peaks(total, strongest):
            reasons = measured.reasons(row, column) + by_event.get(face, {}).get(row, [])
            reasons.sort(key=lambda reason: -reason.doubt)
            if reasons:
                frame = int(tracks.frames[row])
                found.append(Doubt(frame, face, round(float(total[row]), 4), tuple(reasons)))
    found.sort(key=lambda doubt: (-doubt.doubt, doubt.frame, doubt.face))
    return found[:limit]


class _Measured:
    """Doubts (T, F) by kind, from 0 to 1, and by point where points have them."""

    def __init__(
        self, tracks: Tracks, shapes: ShapeModel | None, disagreement: np.ndarray | None
    ) -> None:
        xy = tracks.xy.astype(np.float64)
        self.known = np.asarray(np.isfinite(xy).all(-1))
        self.present = np.asarray(self.known.any(-1))
        size = _sizes(xy, self.present)
        unsure = np.where(self.known, np.clip(1 - tracks.confidence / CONFIDENT, 0, 1), 0)
        self.by_point = {LOW_CONFIDENCE: unsure, JUMP: _ratio(_jumps(xy, size), STEADY)}
        if disagreement is not None:
            self.by_point[DISAGREEMENT] = _ratio(disagreement, AGREEING)
        # A face is as doubtful as its worst tenth of points: one point alone may be covered.
        self.by_face = {kind: _worst_tenth(values) for kind, values in self.by_point.items()}
        if shapes is not None and tracks.scheme == "68":
            error = shapes.shape_error(xy, np.where(tracks.visible, 1.0, 0.3))
            self.by_face[SHAPE] = _ratio(error, PLAUSIBLE)
        # A face that is missing for a while between frames that have it.
        self.by_face[ABSENT] = 0.4 * _gaps(self.present)

    def total(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the doubt (T,) of a face, and the number of its strongest reason."""
        kinds = np.stack([values[:, column] for values in self.by_face.values()])
        return 1 - np.prod(1 - kinds, axis=0), kinds.argmax(0)

    def reasons(self, row: int, column: int) -> list[Reason]:
        """Return the reasons of one frame."""
        found = []
        for kind, values in self.by_face.items():
            doubt = float(values[row, column])
            if doubt < 0.05:
                continue
            points: tuple[int, ...] = ()
            if kind in self.by_point:
                own = self.by_point[kind][row, column]
                order = np.argsort(-own, kind="stable")
                points = tuple(int(p) for p in order[: len(own) // 4] if own[p] >= 0.5 * doubt)
            found.append(Reason(kind, _text(kind, len(points)), round(doubt, 4), points))
        return found


def _text(kind: str, points: int) -> str:
    those = f"{points} points" if points > 1 else "a point"
    return {
        LOW_CONFIDENCE: f"the tracker is not sure of {those}",
        DISAGREEMENT: f"tracking forwards and backwards disagree on {those}",
        JUMP: f"{those} jumped from one frame to the next",
        SHAPE: "the points hardly have the shape of a face",
        ABSENT: "the face is missing for a while",
    }[kind]


def _events(
    tracks: Tracks, events: Iterable[Mapping[str, Any]]
) -> dict[int, dict[int, list[Reason]]]:
    """Return the reasons by face_id and row."""
    found: dict[int, dict[int, list[Reason]]] = {}
    for event in events:
        kind = str(event.get("reason", "")).split(",")[0]
        frame, face = event.get("frame"), event.get("face_id")
        if kind not in EVENT_DOUBT or not isinstance(frame, int) or not isinstance(face, int):
            continue
        row = (frame - tracks.first_frame) // tracks.stride
        if 0 <= row < len(tracks):
            reason = Reason(EVENT, _EVENT_TEXT[kind], EVENT_DOUBT[kind])
            found.setdefault(face, {}).setdefault(row, []).append(reason)
    return found


def _peaks(total: np.ndarray, strongest: np.ndarray) -> list[int]:
    """Return the rows whose doubt is the largest among neighbours with the same reason."""
    rows = np.flatnonzero(total >= 0.05)
    taken = np.zeros(len(total), bool)
    peaks = []
    for row in rows[np.argsort(-total[rows], kind="stable")].tolist():
        if taken[row]:
            continue
        peaks.append(row)
        near = slice(max(0, row - NEIGHBOURS), row + NEIGHBOURS + 1)
        taken[near] |= strongest[near] == strongest[row]
    return peaks


def _sizes(xy: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the sizes of faces (T, F) in pixels; 1 where a face is not there."""
    filled = np.where(present[..., None, None], xy, 0)
    filled = np.where(np.isfinite(filled), filled, np.nan)
    with np.errstate(invalid="ignore"):
        low, high = np.nanmin(filled, 2), np.nanmax(filled, 2)
    return np.maximum(1.0, np.sqrt(np.maximum(np.prod(high - low, -1), 1e-6)))


def _jumps(xy: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return by how far each point (T, F, N) leaves the path of its face, in sizes of the face.

    The motion that a point has in common with its face does not count, and neither does an even
    motion: a jump is the change of speed of a point relative to its face.
    """
    if len(xy) < 3:
        return np.zeros(xy.shape[:3])
    with np.errstate(invalid="ignore"):
        moved = np.diff(xy, axis=0)
        common = np.stack([_median(moved[..., axis]) for axis in (0, 1)], -1)
        own = moved - common[:, :, None]
        change = np.linalg.norm(np.diff(own, axis=0), axis=-1) / size[1:-1, :, None]
    jumps = np.zeros(xy.shape[:3])
    jumps[1:-1] = np.nan_to_num(change)
    return jumps


def _median(values: np.ndarray) -> np.ndarray:
    """Return the medians over the last axis; 0 where all are NaN."""
    empty = ~np.isfinite(values).any(-1)
    return np.asarray(np.nanmedian(np.where(empty[..., None], 0, values), axis=-1))


def _ratio(values: np.ndarray, usual: float) -> np.ndarray:
    """Return doubts: 0 up to the usual value, one half at twice that, nearly 1 far beyond."""
    excess = np.maximum(np.nan_to_num(values) / usual - 1, 0)
    return np.asarray(excess / (1 + excess))


def _worst_tenth(values: np.ndarray) -> np.ndarray:
    count = max(1, values.shape[-1] // 10)
    return np.asarray(np.sort(values, axis=-1)[..., -count:].mean(-1))


def _gaps(present: np.ndarray) -> np.ndarray:
    """Return (T, F) 1.0 in the first row of each gap between rows with a face."""
    found = np.zeros(present.shape)
    for column in range(present.shape[1]):
        rows = np.flatnonzero(present[:, column])
        for before, after in pairwise(rows):
            if after - before > 1:
                found[before + 1, column] = 1
    return found
