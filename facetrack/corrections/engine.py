"""Track again what corrections change, step by step, and blend the results."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facetrack.corrections.anchors import AnchorPlacer
from facetrack.corrections.displacement import face_places
from facetrack.corrections.frames import FrameStore
from facetrack.corrections.log import Correction
from facetrack.corrections.resolve import FrameEdit, Resolved, resolve, segment_of, split_rows
from facetrack.corrections.runs import Anchor, Run
from facetrack.corrections.smoothing import Link, smooth_offsets
from facetrack.trackers import PointTracker, StepResult
from facetrack.tracks import Tracks

FIRST_ROWS = 64
"""Rows of the newest correction's runs that are tracked before those of others."""


@dataclass(frozen=True)
class Update:
    """What one step has changed.

    Attributes:
        face: face_id.
        first, last: indices of the first and the last frame whose points may have changed.
        done, total: rows that are tracked again, and rows to track in all; the total may fall,
            because a run ends where it agrees with the tracks that are there.
    """

    face: int
    first: int
    last: int
    done: int
    total: int


@dataclass
class Stretch:
    """The anchors of one face between two breaks of its track.

    Attributes:
        face: face_id.
        column: its index in the tracks.
        first, last: rows.
        edits: the corrected points by row.
        anchors: by row, as far as they are placed.
        runs: by (row of the anchor, direction).
    """

    face: int
    column: int
    first: int
    last: int
    edits: dict[int, FrameEdit]
    anchors: dict[int, Anchor]
    runs: dict[tuple[int, int], Run]

    def wanted(self, row: int, direction: int) -> int:
        """Return the number of rows wanted of a run, with the anchor's."""
        others = [r for r in self.edits if (r - row) * direction > 0]
        end = self.last if direction > 0 else self.first
        nearest = min(others, key=lambda r: abs(r - row)) if others else end
        return abs(nearest - row) + 1

    def rows_changed(self, row: int) -> tuple[int, int]:
        """Return the first and the last row that an anchor's runs may change."""
        before, after = self.wanted(row, -1), self.wanted(row, 1)
        return row - before + 1, row + after - 1


class Corrector:
    """Tracks with corrections.

    `set_corrections` may be called from another thread than `step`; `tracks` from any.

    Args:
        base: the tracks before any correction.
        events: of the run's record; cuts and new faces among them bound what is tracked again.
        frames: reads the video.
        get_tracker: returns what carries the points; called on first use.
        placer: places the landmarks of corrected frames.

    Attributes:
        warnings: sentences about corrections that are not used.
    """

    def __init__(
        self,
        base: Tracks,
        events: Iterable[Mapping[str, Any]],
        frames: FrameStore,
        get_tracker: Callable[[], PointTracker],
        placer: AnchorPlacer,
    ) -> None:
        # Tables have three decimals: the same tracks must follow from a table and from a run.
        self.base = replace(base, xy=np.round(base.xy.astype(np.float64), 3).astype(np.float32))
        self._splits = split_rows(base, events)
        self._frames, self._get_tracker, self._placer = frames, get_tracker, placer
        self._runs: dict[bytes, Run] = {}
        self._anchors: dict[bytes, Anchor] = {}
        self._stepping = threading.Lock()
        self._order: dict[tuple[int, int], int] = {}
        self._corrections: list[Correction] = []
        self.set_corrections([])

    def set_corrections(self, corrections: Sequence[Correction]) -> None:
        """Use other corrections; what is tracked already is kept as far as it still holds.

        Args:
            corrections: those in force, in the order in which they were made.

        Raises:
            FacetrackError: a correction names a landmark that does not exist.
        """
        resolved = resolve(self.base, corrections, self._splits)
        stretches = self._plan(resolved)
        self._order = {
            (s.face, row): number
            for s in stretches
            for number, row in enumerate(
                sorted(s.edits, key=lambda r: self._age(corrections, s, r))
            )
        }
        self.warnings = resolved.warnings
        self._resolved, self._stretches = resolved, stretches
        self._corrections = list(corrections)
        for stretch in stretches:
            self._recall(stretch, resolved)

    @property
    def resolved(self) -> Resolved:
        """The corrections of whole faces, applied, and the corrected points."""
        return self._resolved

    @property
    def progress(self) -> tuple[int, int]:
        """Rows that are tracked again, and rows to track in all."""
        done = total = 0
        for stretch in self._stretches:
            for row in stretch.edits:
                for direction in (1, -1):
                    wanted = stretch.wanted(row, direction)
                    run = stretch.runs.get((row, direction))
                    if run is not None:
                        wanted = min(wanted, run.count) if run.is_done else wanted
                        done += min(run.count, wanted)
                    total += wanted
        return done, total

    def step(self) -> Update | None:
        """Track a few frames further, nearest to the newest corrections first.

        Returns:
            What has changed; None once all is done.

        Raises:
            FacetrackError: the video cannot be read.
        """
        with self._stepping:
            resolved, stretches = self._resolved, self._stretches
            choice = self._next(stretches)
            if choice is None:
                return None
            stretch, row, direction = choice
            if row not in stretch.anchors:
                self._place(stretch, row, resolved)
                first = last = row
            else:
                run = stretch.runs[row, direction]
                before = run.count
                run.extend()
                first, last = row + direction * before, row + direction * (run.count - 1)
                first, last = min(first, last), max(first, last)
                if run.count >= stretch.wanted(row, direction) or run.is_done:
                    # Now the offsets of all of the stretch's anchors may change.
                    first, last = stretch.first, stretch.last
            done, total = self.progress
            frames = self.base.frames
            return Update(stretch.face, int(frames[max(first, 0)]), int(frames[last]), done, total)

    def finish(self) -> None:
        """Track all that is to be tracked."""
        while self.step() is not None:
            pass

    def tracks(self, first: int = 0, last: int | None = None) -> Tracks:
        """Return the corrected tracks as they are by now.

        Args:
            first, last: rows, both included; None for the last one.
        """
        resolved, stretches = self._resolved, self._stretches
        source = resolved.tracks
        last = len(source) - 1 if last is None else min(last, len(source) - 1)
        rows = slice(first, last + 1)
        xy, visible = source.xy[rows].copy(), source.visible[rows].copy()
        confidence = source.confidence[rows].copy()
        corrected = np.zeros(visible.shape, bool)
        for stretch in stretches:
            low, high = max(first, stretch.first), min(last, stretch.last)
            for begin, end, result in _blend(stretch, low, high):
                part = slice(begin - first, end - first + 1)
                xy[part, stretch.column] = result.xy
                visible[part, stretch.column] = result.visible
                confidence[part, stretch.column] = result.confidence
            for row, edit in stretch.edits.items():
                if low <= row <= high:
                    points = list(edit.points)
                    at = row - first, stretch.column, points
                    corrected[at] = True
                    xy[at] = [edit.points[point] for point in points]
                    visible[at] = [point not in edit.hidden for point in points]
                    confidence[at] = visible[at]
        return replace(
            source,
            xy=np.round(xy.astype(np.float64), 3).astype(np.float32),
            visible=visible & np.isfinite(xy).all(-1),
            confidence=confidence,
            time=source.time[rows],
            first_frame=int(source.frames[first]),
            image_names=None if source.image_names is None else source.image_names[rows],
            corrected=corrected,
        )

    def stretches(self) -> list[dict[str, Any]]:
        """Describe for the record what was tracked again: face, frames, and the corrected frames."""
        frames = self.base.frames
        described = []
        for stretch in self._stretches:
            spans = [stretch.rows_changed(row) for row in stretch.edits]
            described.append(
                {
                    "face_id": stretch.face,
                    "first_frame": int(frames[min(low for low, _ in spans)]),
                    "last_frame": int(frames[max(high for _, high in spans)]),
                    "corrected_frames": [int(frames[row]) for row in sorted(stretch.edits)],
                }
            )
        return described

    # ---------------------------------------------------------------- planning

    def _plan(self, resolved: Resolved) -> list[Stretch]:
        stretches: dict[tuple[int, int], Stretch] = {}
        faces = resolved.tracks.face_id.tolist()
        for face, edits in resolved.edits.items():
            column = faces.index(face)
            present = np.isfinite(resolved.tracks.xy[:, column]).all(-1).any(-1)
            for row, edit in edits.items():
                first, last = segment_of(present, resolved.splits[face], row)
                stretch = stretches.setdefault(
                    (face, first), Stretch(face, column, first, last, {}, {}, {})
                )
                stretch.edits[row] = edit
        return list(stretches.values())

    def _age(self, corrections: Sequence[Correction], stretch: Stretch, row: int) -> int:
        frame = int(self.base.frames[row])
        numbers = [i for i, c in enumerate(corrections) if c.frame == frame]
        return -max(numbers, default=0)

    def _recall(self, stretch: Stretch, resolved: Resolved) -> None:
        """Take over anchors and runs that still hold."""
        for row in stretch.edits:
            anchor = self._anchors.get(self._anchor_key(stretch, row, resolved))
            if anchor is not None:
                stretch.anchors[row] = anchor
                self._start_runs(stretch, row, resolved)

    def _next(self, stretches: list[Stretch]) -> tuple[Stretch, int, int] | None:
        """Return the most wanted run that is not done: stretch, row of the anchor, direction."""
        best, choice = None, None
        for stretch in stretches:
            for row in stretch.edits:
                age = self._order.get((stretch.face, row), 0)
                for direction in (1, -1):
                    run = stretch.runs.get((row, direction))
                    count = 0 if run is None else run.count
                    if run is not None and (run.is_done or count >= stretch.wanted(row, direction)):
                        continue
                    rank = (count // FIRST_ROWS, age, count, -direction)
                    if best is None or rank < best:
                        best, choice = rank, (stretch, row, direction)
        return choice

    def _place(self, stretch: Stretch, row: int, resolved: Resolved) -> None:
        edit = stretch.edits[row]
        frame = int(self.base.frames[row])
        former = resolved.tracks.xy[row, stretch.column]
        visible = resolved.tracks.visible[row, stretch.column]
        anchor = self._placer.place(
            self._frames.frame(frame), row, former, visible, edit, resolved.tracks.scheme
        )
        self._anchors[self._anchor_key(stretch, row, resolved)] = anchor
        stretch.anchors[row] = anchor
        self._start_runs(stretch, row, resolved)

    def _anchor_key(self, stretch: Stretch, row: int, resolved: Resolved) -> bytes:
        edit = stretch.edits[row]
        former = resolved.tracks.xy[row, stretch.column]
        said = repr((row, sorted(edit.points.items()), sorted(edit.hidden), edit.is_start))
        seen = resolved.tracks.visible[row, stretch.column]
        return _digest(said.encode(), former.tobytes(), seen.tobytes())

    def _start_runs(self, stretch: Stretch, row: int, resolved: Resolved) -> None:
        anchor = stretch.anchors[row]
        xy = resolved.tracks.xy[:, stretch.column]
        for direction in (1, -1):
            if direction > 0:
                former = xy[row : stretch.last + 1]
            else:
                former = xy[stretch.first : row + 1][::-1]
            said = repr((row, direction, anchor.is_start)).encode()
            key = _digest(said, anchor.xy.tobytes(), anchor.visible.tobytes(), former.tobytes())
            run = self._runs.get(key)
            if run is None:
                run = Run(anchor, direction, len(former), former, self._get_tracker, self._frames)
                self._runs[key] = run
            stretch.runs[row, direction] = run


# ---------------------------------------------------------------- blending


def _blend(stretch: Stretch, low: int, high: int) -> Iterable[tuple[int, int, StepResult]]:
    """Yield the results of a stretch in rows [low, high], between neighbouring anchors."""
    rows = sorted(stretch.anchors)
    if not rows or low > high:
        return
    offsets = _offsets(stretch, rows)
    bounds = [stretch.first - 1, *rows, stretch.last + 1]
    for left, right in zip(bounds[:-1], bounds[1:], strict=True):
        begin = max(low, left if left in stretch.anchors else left + 1)
        end = min(high, right if right in stretch.anchors else right - 1)
        if begin > end:
            continue
        found = []
        if left in stretch.anchors:
            run = stretch.runs[left, 1]
            result, growth = run.estimate(end - left + 1, offsets[left])
            part = slice(begin - left, None)
            found.append((StepResult(*(values[part] for values in result)), growth[part]))
        if right in stretch.anchors:
            run = stretch.runs[right, -1]
            result, growth = run.estimate(right - begin + 1, offsets[right])
            part = slice(right - end, None)
            found.append(
                (StepResult(*(values[part][::-1] for values in result)), growth[part][::-1])
            )
        yield begin, end, found[0][0] if len(found) == 1 else _mix(found[0], found[1])


def _mix(first: tuple[StepResult, np.ndarray], second: tuple[StepResult, np.ndarray]) -> StepResult:
    """Blend two runs: each point's weight is the inverse variance of its error.

    The variance grows from 0 at the run's anchor by 1 / confidence per frame.
    """
    (one, grown), (two, grown_two) = first, second
    total = grown + grown_two
    share = np.divide(grown_two, total, out=np.full_like(total, 0.5), where=total > 0)
    share = np.where(np.isfinite(two.xy).all(-1), share, 1.0)
    share = np.where(np.isfinite(one.xy).all(-1), share, 0.0)[..., None]
    xy = np.where(share >= 1, one.xy, np.where(share <= 0, two.xy, 0))
    between = (share > 0) & (share < 1)
    xy = np.where(between, share * one.xy + (1 - share) * two.xy, xy)
    nearer = share[..., 0] >= 0.5
    return StepResult(
        xy,
        np.where(nearer, one.visible, two.visible),
        np.where(nearer, one.confidence, two.confidence),
    )


def _offsets(stretch: Stretch, rows: list[int]) -> dict[int, np.ndarray]:
    """Return the offsets of a stretch's anchors from the truth, (N,) in units of the face.

    Anchors are linked once the runs between them are complete.
    """
    count = len(stretch.anchors[rows[0]].xy)
    offsets = {row: np.zeros(count, complex) for row in rows}
    at = face_places(stretch.anchors[rows[0]].xy)
    chain = [rows[0]]
    links: list[Link] = []
    for row in [*rows[1:], -1]:
        link = None if row < 0 else _link(stretch, chain[-1], row)
        if link is not None:
            chain.append(row)
            links.append(link)
            continue
        if links:
            covariances = [stretch.anchors[r].covariance for r in chain]
            offsets |= dict(zip(chain, smooth_offsets(covariances, links, at), strict=True))
        chain, links = [row], []
    return offsets


def _link(stretch: Stretch, left: int, right: int) -> Link | None:
    """Return what the runs between two anchors say of them; None while they are not complete."""
    a, b = stretch.anchors[left], stretch.anchors[right]
    count = right - left + 1
    forwards, backwards = stretch.runs[left, 1], stretch.runs[right, -1]
    if forwards.count < count or backwards.count < count:
        return None
    none = np.zeros(len(a.xy), complex)
    ahead, growth = forwards.estimate(count, none)
    behind, growth_back = backwards.estimate(count, none)
    axis = np.array([1, 1j])
    there = (ahead.xy[-1] - b.xy) @ axis / b.pose
    here = (a.xy - behind.xy[-1]) @ axis / a.pose
    return Link((there + here) / 2, np.minimum(growth[-1], growth_back[-1]) + 1)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
