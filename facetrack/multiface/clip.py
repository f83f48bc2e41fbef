"""Consecutive frames with the rows that tracking fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.video.frame import Frame

FOUND_SHARE = 0.25


Row = dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""xy (N, 2), visible (N,) and confidence (N,) in one frame, by face_id."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames, as a tracker likes them.

    Attributes:
        frames: all of them; the first may have been answered already.
        new: those whose rows are wanted.
        before: how many of `frames` come before these.
        rows: of `new`, to be filled.
    """

    frames: list[Frame]
    new: list[Frame]
    before: int
    rows: list[Row]

    @staticmethod
    def of(frames: list[Frame], done: int, upto: int) -> Clip:
        """Frames of which [done, upto) are new."""
        return Clip(frames, frames[done:upto], done, [{} for _ in range(done, upto)])

    @property
    def last(self) -> Frame:
        """The last new frame."""
        return self.new[-1]

    def remove(self, face_id: int, since: int) -> None:
        """Drop a face from row `since` on."""
        for row in self.rows[since:]:
            row.pop(face_id, None)

    def forget_unseen(self, face_id: int, upto: int) -> None:
        """Before row `upto`, a face's points are unknown where hardly any is seen: the face turned
        out to be elsewhere."""
        for k, row in enumerate(self.rows[:upto]):
            if face_id in row and row[face_id][1].mean() < FOUND_SHARE:
                self.forget(face_id, k, k + 1)

    def forget(self, face_id: int, since: int, upto: int | None = None) -> None:
        """A face's points are unknown from row `since` on."""
        for row in self.rows[since:upto]:
            if face_id in row:
                xy, visible, confidence = row[face_id]
                nowhere = np.full_like(xy, np.nan)
                row[face_id] = (nowhere, np.zeros_like(visible), np.zeros_like(confidence))
