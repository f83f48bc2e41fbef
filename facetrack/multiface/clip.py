"""Consecutive frames that are tracked together, and the rows of points they produce."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.landmarks.geometry import landmark_distance
from facetrack.video.frame import Frame

FOUND_VISIBLE_SHARE = 0.25
"""Share of a face's points that must be visible for the tracker to count as seeing the face."""

Row = dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Points of all faces in one frame, by face_id: xy (N, 2), visible (N,), confidence (N,)."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames that a point tracker processes in one call.

    Attributes:
        frames: all frames; the first ones may be context that an earlier clip has covered.
        new: the frames whose rows are wanted: the frames from index `before` on.
        before: number of context frames in `frames` before the first new one.
        rows: one row for each new frame, filled by tracking.
    """

    frames: list[Frame]
    new: list[Frame]
    before: int
    rows: list[Row]

    @staticmethod
    def of(frames: list[Frame], done: int, upto: int) -> Clip:
        """Create a clip whose new frames are `frames[done:upto]`, with empty rows."""
        return Clip(frames, frames[done:upto], done, [{} for _ in range(done, upto)])

    @property
    def last(self) -> Frame:
        """The last new frame."""
        return self.new[-1]

    @property
    def last_row(self) -> int:
        """Index of the last row."""
        return len(self.new) - 1

    def remove_face(self, face_id: int, begin: int) -> None:
        """Delete a face from row `begin` on."""
        for row in self.rows[begin:]:
            row.pop(face_id, None)

    def clear_points(self, face_id: int, begin: int, end: int | None = None) -> None:
        """Set a face's points to unknown (NaN) in rows [begin, end)."""
        for row in self.rows[begin:end]:
            if face_id in row:
                xy, visible, confidence = row[face_id]
                unknown = np.full_like(xy, np.nan)
                row[face_id] = (unknown, np.zeros_like(visible), np.zeros_like(confidence))

    def clear_duplicates(self, face_id: int, other_id: int, distance: float) -> None:
        """Set a face's points to unknown where those of another face are nearer than a distance.

        Args:
            face_id, other_id: the two faces.
            distance: mean over the points, in sizes of the face.
        """
        for k, row in enumerate(self.rows):
            if face_id in row and other_id in row and face_id != other_id:
                (xy, seen, _), (other, *_) = row[face_id], row[other_id]
                if landmark_distance(xy, other, seen) < distance:
                    self.clear_points(face_id, k, k + 1)

    def clear_unseen_points(self, face_id: int, end: int) -> None:
        """Set a face's points to unknown in those rows before `end` that hardly see the face.

        For a face that turned out to be elsewhere: the tracker only guessed these points.
        """
        for k, row in enumerate(self.rows[:end]):
            if face_id in row and row[face_id][1].mean() < FOUND_VISIBLE_SHARE:
                self.clear_points(face_id, k, k + 1)
