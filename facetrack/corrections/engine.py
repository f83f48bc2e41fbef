"""Track again what corrections change, step by step, and blend the results."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facetrack.corrections.anchors import AnchorPlacer
from facetrack.corrections.blending import Stretch, blend
from facetrack.corrections.correction import Correction
from facetrack.corrections.frames import FrameStore
from facetrack.corrections.resolve import Placement, Resolved, resolve, segment_of, split_rows
from facetrack.corrections.runs import Anchor, Run
from facetrack.corrections.saved_runs import load_run, save_run
from facetrack.landmarks.geometry import inside_size
from facetrack.multiface.propagation import MAX_OUTSIDE
from facetrack.trackers import PointTracker
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


class _InForce(NamedTuple):
    """What follows from the corrections in force. Another thread gets all of one, or of the next.

    Attributes:
        resolved: the corrections of whole faces, applied, and the corrected points.
        stretches: the rows that are tracked again.
    """

    resolved: Resolved
    stretches: list[Stretch]


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
        base: the tracks before any correction, with three decimals.
        frames, placer: see above.
        warnings: sentences about corrections that are not used.
        runs_folder: keeps complete runs for a later corrector; None for not to.
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
        self.runs_folder: Path | None = None
        self.frames, self.placer = frames, placer
        self._get_tracker = get_tracker
        self._runs: dict[bytes, Run] = {}
        self._anchors: dict[bytes, Anchor] = {}
        self._stepping = threading.Lock()
        self._age: dict[int, int] = {}
        self.set_corrections([])

    def set_corrections(
        self, corrections: Sequence[Correction], placements: Sequence[Placement] = ()
    ) -> None:
        """Use other corrections; what is tracked already is kept as far as it still holds.

        Args:
            corrections: those in force, in the order in which they were made.
            placements: landmarks that a detector has placed in further query frames.

        Raises:
            FacetrackError: a correction names a landmark that does not exist.
        """
        resolved = resolve(self.base, corrections, self._splits, placements)
        stretches = self._plan(resolved)
        base = self.base
        rows = [(c.frame - base.first_frame) // base.stride for c in corrections]
        # The newest corrections come first.
        self._age = {row: -number for number, row in enumerate(rows)}
        self.warnings = resolved.warnings
        self._in_force = _InForce(resolved, stretches)
        for stretch in stretches:
            self._recall(stretch, resolved)

    @property
    def resolved(self) -> Resolved:
        """The corrections of whole faces, applied, and the corrected points."""
        return self._in_force.resolved

    @property
    def progress(self) -> tuple[int, int]:
        """Rows that are tracked again, and rows to track in all."""
        done = total = 0
        for stretch in self._in_force.stretches:
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
            resolved, stretches = self._in_force
            choice = self._next(stretches)
            if choice is None:
                return None
            stretch, row, direction = choice
            if row not in stretch.anchors:
                self._place(stretch, row, resolved)
                first = last = row
                if len(stretch.anchors) > 1:
                    # Other anchors' runs no longer count beyond this one.
                    first, last = stretch.rows_changed(row)
            else:
                run = stretch.runs[row, direction]
                before = run.count
                run.extend()
                first, last = row + direction * before, row + direction * (run.count - 1)
                first, last = min(first, last), max(first, last)
                if run.count >= stretch.wanted(row, direction) or run.is_done:
                    if self.runs_folder is not None:
                        save_run(run, self.runs_folder)
                    # Now the offsets of all of the stretch's anchors may change.
                    first, last = stretch.first, stretch.last
            done, total = self.progress
            frames = self.base.frames
            return Update(stretch.face, int(frames[max(first, 0)]), int(frames[last]), done, total)

    def load_models(self) -> None:
        """Load what `step` needs, and use it once: the first use takes longest."""
        self.placer.load_models(self.base.scheme)
        tracker, xy = self._get_tracker(), self.base.xy
        rows, columns = np.nonzero(np.isfinite(xy).all((-1, -2)))
        if not len(rows):
            return
        frame = self.frames.frame(int(self.base.frames[rows[0]]))
        points = xy[rows[0], columns[0]]
        self.placer.estimate(frame.image, points, points, self.base.scheme)
        tracker.step(tracker.start(frame.image, points), frame.image[None])

    def finish(self) -> None:
        """Track all that is to be tracked."""
        while self.step() is not None:
            pass

    def tracks(self, first: int = 0, last: int | None = None) -> Tracks:
        """Return the corrected tracks as they are by now.

        Args:
            first, last: rows, both included; None for the last one.
        """
        resolved, stretches = self._in_force
        source = resolved.tracks
        last = len(source) - 1 if last is None else min(last, len(source) - 1)
        rows = slice(first, last + 1)
        xy, visible = source.xy[rows].copy(), source.visible[rows].copy()
        confidence = source.confidence[rows].copy()
        corrected = np.zeros(visible.shape, bool)
        for stretch in stretches:
            low, high = max(first, stretch.first), min(last, stretch.last)
            for begin, end, result in blend(stretch, low, high):
                part = slice(begin - first, end - first + 1)
                xy[part, stretch.column] = result.xy
                visible[part, stretch.column] = result.visible
                confidence[part, stretch.column] = result.confidence
            for row, edit in stretch.edits.items():
                points = list(edit.points)
                if points and low <= row <= high:
                    at = row - first, stretch.column, points
                    corrected[at] = True
                    xy[at] = [edit.points[point] for point in points]
                    visible[at] = [point not in edit.hidden for point in points]
                    confidence[at] = visible[at]
        known = np.isfinite(xy).all(-1)
        # Of tracks from a bare table the size is not known.
        outside = known & ~inside_size(xy, source.size) if all(source.size) else ~known
        confidence = np.where(outside, np.minimum(confidence, MAX_OUTSIDE), confidence)
        return replace(
            source,
            xy=np.round(xy.astype(np.float64), 3).astype(np.float32),
            visible=visible & known & ~outside,
            confidence=confidence.astype(np.float32),
            time=source.time[rows],
            first_frame=int(source.frames[first]),
            image_names=None if source.image_names is None else source.image_names[rows],
            corrected=corrected,
        )

    def stretches(self) -> list[dict[str, Any]]:
        """Describe for the record what was tracked again, and the corrected frames."""
        frames = self.base.frames
        described = []
        for stretch in self._in_force.stretches:
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
        for stretch in stretches.values():
            stretch.former = former_digests(stretch, resolved.tracks)
        return list(stretches.values())

    def _recall(self, stretch: Stretch, resolved: Resolved) -> None:
        """Take over anchors and runs that still hold."""
        for row in stretch.edits:
            anchor = self._anchors.get(self._anchor_key(stretch, row, resolved))
            if anchor is not None:
                self._add_anchor(stretch, row, anchor, resolved)

    def _next(self, stretches: list[Stretch]) -> tuple[Stretch, int, int] | None:
        """Return the most wanted run that is not done: stretch, row of the anchor, direction."""
        best, choice = None, None
        for stretch in stretches:
            for row in stretch.edits:
                age = self._age.get(row, 0)
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
        anchor = self.placer.place(
            self.frames.frame(frame), row, former, visible, edit, resolved.tracks.scheme
        )
        self._anchors[self._anchor_key(stretch, row, resolved)] = anchor
        self._add_anchor(stretch, row, anchor, resolved)

    def _anchor_key(self, stretch: Stretch, row: int, resolved: Resolved) -> bytes:
        edit = stretch.edits[row]
        former = resolved.tracks.xy[row, stretch.column]
        said = repr((row, sorted(edit.points.items()), sorted(edit.hidden), edit.is_start))
        parts = [said.encode(), former.tobytes()]
        parts.append(resolved.tracks.visible[row, stretch.column].tobytes())
        if edit.placement is not None:
            parts += [edit.placement.xy.tobytes(), edit.placement.visible.tobytes()]
        return _digest(*parts)

    def _add_anchor(self, stretch: Stretch, row: int, anchor: Anchor, resolved: Resolved) -> None:
        tracks = resolved.tracks
        xy, visible, sure = (
            part[:, stretch.column] for part in (tracks.xy, tracks.visible, tracks.confidence)
        )
        ahead = slice(row, stretch.last + 1)
        behind = slice(row, stretch.first - 1 if stretch.first else None, -1)
        for direction, rows in ((1, ahead), (-1, behind)):
            said = repr((row, direction, anchor.is_start)).encode()
            placed = anchor.xy.tobytes(), anchor.visible.tobytes()
            key = _digest(said, *placed, stretch.former[row, direction])
            run = self._runs.get(key)
            if run is None:
                arguments = (anchor, direction, len(xy[rows]), xy[rows])
                models = (self._get_tracker, self.frames)
                run = Run(*arguments, *models, visible[rows], sure[rows])
                run.name = key.hex()
                if self.runs_folder is not None:
                    load_run(run, self.runs_folder)
                self._runs[key] = run
            stretch.runs[row, direction] = run
        # Last: `tracks`, from another thread, looks for the runs of each anchor.
        stretch.anchors[row] = anchor


def former_digests(stretch: Stretch, tracks: Tracks) -> dict[tuple[int, int], bytes]:
    """Return digests of the tracks that each run of a stretch replaces, by row and direction.

    These reach from the corrected row to the end of the stretch. All digests of a direction come
    from one pass over the rows, from that end on: with a pass for each, every correction in a long
    video would take longer than the one before.
    """
    arrays = tracks.xy[:, stretch.column], tracks.visible[:, stretch.column]
    found = {}
    for direction in (1, -1):
        hashes = [hashlib.blake2b(digest_size=16) for _ in arrays]
        done = stretch.last + 1 if direction > 0 else stretch.first - 1
        for row in sorted(stretch.edits, reverse=direction > 0):
            part = slice(row, done) if direction > 0 else slice(done + 1, row + 1)
            for digest, array in zip(hashes, arrays, strict=True):
                digest.update(array[part][::-direction].tobytes())
            found[row, direction] = b"".join(digest.digest() for digest in hashes)
            done = row
    return found


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
