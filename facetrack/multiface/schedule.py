"""Decide when to detect faces again while they are tracked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from facetrack.landmarks.geometry import faces_overlap
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE
from facetrack.multiface.face_track import FaceStatus, FaceTrack, RedetectPolicy
from facetrack.video.frame import Frame

MIN_INTERVAL_S = 1.0
"""Seconds between two detections at first; also while there is room for more faces."""
MAX_INTERVAL_S = 4.0
"""Seconds to which the interval doubles while all detections confirm the tracker."""
HALF_HIDDEN_INTERVAL_S = 0.5
"""Seconds to the next detection while less than half of a face is visible."""
DOUBT_INTERVAL_S = 0.25
"""Seconds to the next detection while hardly anything of a face is visible, while two faces
overlap, after a search, and after a detection that disagreed with the tracker: two in a row
decide."""

NEW_VIEW = 0.025
"""Difference of a head's view from those of all detections, from which on another is due. What a
detection says of the tracker's errors holds for the views near its own (`offset_correction`)."""


class DetectionSchedule:
    """Decide when the next detection is due.

    Args:
        policy: fixed interval in frames, or None for an interval that adapts; number of faces.
    """

    def __init__(self, policy: RedetectPolicy) -> None:
        self._policy = policy
        self._last_frame, self._last_time = 0, -np.inf
        self._interval = MIN_INTERVAL_S

    def start(self, frame: Frame) -> None:
        """Note that faces were detected in a frame, before any interval is known."""
        self._last_frame, self._last_time = frame.index, frame.time

    def restart(self, frame: Frame) -> None:
        """Note that faces were searched for in a frame in which none was tracked.

        Who was found there, perhaps in the middle of a dissolve, rests on one detection.
        """
        self.start(frame)
        self._interval = DOUBT_INTERVAL_S

    def is_due(self, frame: Frame, faces: Sequence[FaceTrack]) -> bool:
        """Return whether to detect faces in a frame, given those that are tracked."""
        if any(face.needs_detection for face in faces):
            return True
        if self._policy.every is None:
            wait = self._wait(faces)
        elif frame.index - self._last_frame >= self._policy.every:
            return True
        else:
            wait = DOUBT_INTERVAL_S if any(_is_unseen(face) for face in faces) else np.inf
        return frame.time - self._last_time >= wait - 1e-6

    def update(self, frame: Frame, confirmed: bool) -> None:
        """Set the next interval after a detection.

        Args:
            frame: the frame in which faces were detected.
            confirmed: whether the detection confirmed all tracked faces.
        """
        self.start(frame)
        doubled = min(max(2 * self._interval, MIN_INTERVAL_S), MAX_INTERVAL_S)
        self._interval = doubled if confirmed else DOUBT_INTERVAL_S

    def _wait(self, faces: Sequence[FaceTrack]) -> float:
        """Return the seconds from the last detection to the next."""
        wait, max_faces = self._interval, self._policy.faces
        if max_faces is None or len(faces) < max_faces:
            wait = min(wait, MIN_INTERVAL_S)  # a face may appear at any time
        for face in faces:
            if _is_unseen(face):
                wait = min(wait, DOUBT_INTERVAL_S)
            elif face.visible.mean() < 0.5 or face.turned_since_checked > NEW_VIEW:
                wait = min(wait, HALF_HIDDEN_INTERVAL_S)
            elif face.covered is not None:
                wait = min(wait, MIN_INTERVAL_S)
        if any(faces_overlap(a.xy, b.xy) for a, b in itertools.combinations(faces, 2)):
            wait = min(wait, DOUBT_INTERVAL_S)
        return wait


def _is_unseen(face: FaceTrack) -> bool:
    """Return whether hardly anything of a face is visible, or it is gone."""
    return face.status is FaceStatus.GONE or bool(face.visible.mean() < FOUND_VISIBLE_SHARE)
