"""Propagate faces with the point tracker: fill the rows of a clip, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facetrack.landmarks.geometry import inside_picture, landmark_distance
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE, Clip, Row
from facetrack.multiface.covered_points import CoveredPoints
from facetrack.multiface.detection import DRIFT_DISTANCE, DetectedFace
from facetrack.multiface.face_track import Event, EventReason, FaceTrack
from facetrack.multiface.offset_correction import OffsetCorrector
from facetrack.trackers import PointTracker, StepResult
from facetrack.video.frame import Frame

MAX_OUTSIDE = 0.49
"""Highest confidence of a point outside the picture."""


class Propagator:
    """Carry faces through clips with a point tracker.

    Args:
        tracker: the point tracker.
        redetects: whether faces are detected again, so that the tracker's claims can be checked.
        max_faces: largest number of faces in a row; None: any number.

    Attributes:
        events: the events recorded so far, in order.
        current: face_id of the face that was seen last.
        last_xy: (N, 2) pixels, where each face was last seen in this shot, by face_id.
    """

    def __init__(self, tracker: PointTracker, redetects: bool, max_faces: int | None) -> None:
        self._tracker, self._redetects, self._max_faces = tracker, redetects, max_faces
        self.events: list[Event] = []
        self.current = 0
        self.last_xy: dict[int, np.ndarray] = {}

    def start(
        self,
        face_id: int,
        image: np.ndarray,
        xy: np.ndarray,
        visible: np.ndarray | None = None,
        trust: float = 1.0,
    ) -> FaceTrack:
        """Start a track from landmarks in an image that is yet to be stepped over.

        Args:
            face_id: of the face.
            image: (H, W, 3).
            xy: (N, 2) landmarks in pixels.
            visible: (N,) probability that each is visible; None where it is not known.
            trust: from 0 to 1, 1 for what surely is a face.
        """
        covered = CoveredPoints.find(xy, visible)
        state = self._tracker.start(image, xy)
        corrector = self._offset_corrector(xy)
        return FaceTrack(face_id, state, corrector, covered, trust, started_xy=xy)

    def propagate(self, faces: Sequence[FaceTrack], clip: Clip) -> None:
        """Carry all faces through a clip, and fill its rows."""
        images = np.stack([frame.image for frame in clip.frames])
        new = slice(clip.before, clip.before + len(clip.new))
        results = self._tracker.step_many([face.state for face in faces], images)
        for face, result in zip(faces, results, strict=True):
            xy, visible, confidence = (part[new] for part in result)
            self._fill(face, hide_outside(StepResult(xy, visible, confidence), images), clip, 0)

    def restart(
        self,
        face: FaceTrack,
        xy: np.ndarray,
        clip: Clip,
        row: int,
        first_row: int,
        visible: np.ndarray | None = None,
        trust: float = 1.0,
    ) -> None:
        """Continue a face from landmarks placed in one row, forwards and backwards.

        Backwards it is carried through those rows in which it was not seen, or was seen elsewhere.

        Args:
            face: the track, which is changed.
            xy: (N, 2) landmarks in pixels.
            clip: the current clip.
            row: index of the row they belong to.
            first_row: row before which the face cannot have been there.
            visible: (N,) probability that each landmark is visible; None where it is not known.
            trust: from 0 to 1, 1 for what surely is a face.
        """
        if face.claimed_back_row is not None:
            clip.clear_points(face.face_id, face.claimed_back_row, row)
        clip.clear_unseen_points(face.face_id, row)
        state = self._tracker.start(clip.new[row].image, xy)
        face.restart(xy, state, self._offset_corrector(xy), CoveredPoints.find(xy, visible), trust)
        images = np.stack([frame.image for frame in clip.new[row:]])
        self._fill(face, self._step(face.state, images), clip, row)
        if row > first_row:
            self._fill_backwards(face, xy, clip, row, first_row)

    def correct(self, face: FaceTrack, detection: DetectedFace, clip: Clip) -> bool:
        """Correct a face's points by a detection in the last row, from the clip's start on.

        Rows that hold something else by now, such as another track of the same person, stay.

        Args:
            face: the track, which is changed.
            detection: of the same face, believed against the tracker's points.
            clip: the current clip.

        Returns:
            Whether the detection was to be expected.
        """
        if face.offset_corrector is None:
            return True
        expected = face.offset_corrector.observe(detection.xy, detection.score)
        before = face.offset_corrector.corrected
        corrected = face.offset_corrector.apply_again()
        rows = clip.rows[-len(corrected) :]
        for row, old, xy in zip(rows, before, corrected, strict=True):
            known = row.get(face.face_id)
            if known is not None and np.array_equal(known[0], old):
                row[face.face_id] = hide_outside(StepResult(xy, *known[1:]), clip.last.image[None])
        face.xy = self.last_xy[face.face_id] = corrected[-1]
        return expected

    def take_up(self, face: FaceTrack, detected: np.ndarray, taken: np.ndarray, clip: Clip) -> None:
        """Track further points, which were covered, from the last row on, and back in the clip.

        Args:
            face: the track, which is changed; it is seen in the last row.
            detected: (N, 2) detected landmarks in that row, pixels.
            taken: (N,) bool, the points to take up.
            clip: the current clip.
        """
        assert face.covered is not None
        xy = CoveredPoints.merge(face.xy, detected, taken)
        covered, presence = face.covered.without(taken, xy), face.presence
        image = clip.last.image
        state = self._tracker.start(image, xy)
        face.restart(xy, state, self._offset_corrector(xy), covered, face.trust)
        face.presence = presence
        self._fill(face, self._step(face.state, image[None]), clip, clip.last_row)
        images = np.stack([frame.image for frame in clip.new[::-1]])
        result = _trusted(self._step(self._tracker.start(image, xy), images), face.trust)
        for row, points in zip(clip.rows[::-1], zip(*result, strict=True), strict=True):
            if face.face_id in row and np.isfinite(row[face.face_id][0]).all():
                seen = taken & points[1]
                row[face.face_id] = tuple(  # type: ignore[assignment]
                    np.where(seen[:, None] if old.ndim > 1 else seen, new, old)
                    for old, new in zip(row[face.face_id], points, strict=True)
                )

    def lose(self, face: FaceTrack, clip: Clip, first_row: int) -> None:
        """Mark a face as gone, with unknown points from row `first_row` on."""
        face.lose(clip.last.time)
        clip.clear_points(face.face_id, first_row)

    def record_event(
        self, frame: Frame, face: FaceTrack, reason: EventReason, **fields: Any
    ) -> None:
        """Record an event of a frame.

        Args:
            fields: further fields of `Event`; `before` is the face's present summary by default.
        """
        fields = {"before": face.summary(), **fields}
        self.events.append(Event(frame.index, frame.time, face.face_id, reason.value, **fields))

    def _step(self, state: Any, images: np.ndarray) -> StepResult:
        """Carry a tracker's points through images (K, H, W, 3)."""
        return hide_outside(self._tracker.step(state, images), images)

    def _offset_corrector(self, placed: np.ndarray) -> OffsetCorrector | None:
        """Create the corrector of points that were placed at (N, 2)."""
        return OffsetCorrector(placed) if self._redetects else None

    def _fill(self, face: FaceTrack, result: StepResult, clip: Clip, first_row: int) -> None:
        """Write a tracker's result into the rows from `first_row` on, and update the face.

        Records when the face is lost, and when it is seen again if no detection can confirm that.
        """
        frames = clip.new[first_row:]
        gone, result = face.presence.apply(frames, result)
        if face.covered is not None:
            result = face.covered.apply(result)
        xy, visible, confidence = result
        if face.offset_corrector is not None:
            xy = face.offset_corrector.apply(np.array([f.time for f in frames]), xy, visible)
            moved = StepResult(xy, visible, confidence)
            xy, visible, confidence = hide_outside(moved, frames[0].image[None])
        if self._redetects:
            self._watch_appearance(face, frames, xy, ~gone, first_row)
        xy, visible, confidence = _trusted(StepResult(xy, visible, confidence), face.trust)
        for k, frame in enumerate(frames):
            face.note_visible(float(visible[k].mean()), frame.time)
            clip.rows[first_row + k][face.face_id] = (xy[k], visible[k], confidence[k])
            if gone[k]:
                if face.gone_since is None:
                    self.record_event(frame, face, EventReason.LOST)
                    face.gone_since, face.claimed_back_row = frame.time, None
                continue
            returns = face.gone_since is not None
            before = face.summary() if returns else None
            face.xy, face.visible, face.gone_since = xy[k], visible[k], None
            self.last_xy[face.face_id], self.current = xy[k], face.face_id
            if returns and self._redetects:
                face.claimed_back_row = first_row + k
            elif returns:
                after = face.summary()
                self.record_event(frame, face, EventReason.SEEN_AGAIN, before=before, after=after)

    @staticmethod
    def _watch_appearance(
        face: FaceTrack, frames: list[Frame], xy: np.ndarray, present: np.ndarray, first_row: int
    ) -> None:
        """Note the first row in which the picture around a face changes.

        Args:
            xy: (K, N, 2) its points in the K frames, whose first is that of row `first_row`.
            present: (K,) bool, the frames in which it is there.
        """
        shown = np.flatnonzero(present)
        change = face.appearance.first_change([frames[k].image for k in shown], xy[shown])
        if change is not None and face.appearance_changed_row is None:
            face.appearance_changed_row = first_row + int(shown[change])

    def _fill_backwards(
        self, face: FaceTrack, xy: np.ndarray, clip: Clip, row: int, first_row: int
    ) -> None:
        """Track a face backwards from landmarks (N, 2) in a row, down to `first_row` at most.

        Stops where the tracker no longer sees the face, where the row has the same points already,
        and where the row has no room for it.
        """
        images = np.stack([frame.image for frame in clip.new[first_row : row + 1][::-1]])
        result = self._step(self._tracker.start(images[0], xy), images)
        enough = result.visible.mean(-1) >= FOUND_VISIBLE_SHARE
        if face.covered is not None:
            result = hide_outside(face.covered.apply(result), images)
        result = _trusted(result, face.trust)
        for k in range(1, len(images)):
            earlier, (xy, visible, confidence) = clip.rows[row - k], (part[k] for part in result)
            if not enough[k]:
                return
            if face.face_id in earlier:
                known, seen, _ = earlier[face.face_id]
                seen_enough = seen.mean() >= FOUND_VISIBLE_SHARE
                if seen_enough and landmark_distance(known, xy, seen) <= DRIFT_DISTANCE:
                    return
            elif not self._make_room(earlier):
                return
            earlier[face.face_id] = xy, visible, confidence

    def _make_room(self, row: Row) -> bool:
        """Make room for another face by deleting those with unknown points.

        Returns:
            Whether there is room.
        """
        if self._max_faces is None or len(row) < self._max_faces:
            return True
        unknown = [i for i, (xy, *_) in row.items() if not np.isfinite(xy).any()]
        for face_id in unknown:
            del row[face_id]
        return len(row) < self._max_faces


def _trusted(result: StepResult, trust: float) -> StepResult:
    """Scale the confidence of the points of a face that is trusted from 0 to 1."""
    if trust == 1:
        return result
    return StepResult(result.xy, result.visible, result.confidence * np.float32(trust))


def hide_outside(result: StepResult, images: np.ndarray) -> StepResult:
    """Mark the points outside the picture as hidden.

    Args:
        result: of the point tracker, for K images.
        images: (..., H, W, 3).
    """
    outside = ~inside_picture(result.xy, images[0])
    if not outside.any():
        return result
    confidence = np.where(outside, np.minimum(result.confidence, MAX_OUTSIDE), result.confidence)
    return StepResult(result.xy, result.visible & ~outside, confidence)
