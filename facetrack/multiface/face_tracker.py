"""Track the faces of a video: predict, detect, associate, update, birth and death."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facetrack.identity.verifier import UNKNOWN_PERSON
from facetrack.landmarks.geometry import landmark_distance
from facetrack.multiface.association import (
    MAX_FACE_SHAPE_ERROR,
    Association,
    Associator,
    Sighting,
    find_duplicates,
)
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE, Clip
from facetrack.multiface.detection import (
    DRIFT_DISTANCE,
    MIN_TRUST,
    FaceLandmarker,
    detect_in_clip,
)
from facetrack.multiface.face_track import (
    Event,
    EventReason,
    FaceStatus,
    FaceTrack,
    RedetectPolicy,
    without_surplus,
)
from facetrack.multiface.propagation import Propagator
from facetrack.multiface.schedule import DetectionSchedule
from facetrack.trackers import PointTracker
from facetrack.video.frame import Frame

if TYPE_CHECKING:
    from facetrack.identity.verifier import FaceVerifier

GONE_KEPT_S = 5.0
"""Seconds for which the tracker may find a lost face again by itself."""
MAX_MISSES = 3
"""Consecutive detections without any face near impossible points, after which a face is dropped."""


class MultiFaceTracker:
    """Track several faces through consecutive clips, in the order of multi-object tracking.

    Args:
        tracker: carries the points.
        landmarker: detects faces; None where nothing is to be detected again.
        verifier: recognises people and judges shapes; None where `landmarker` is.
        policy: when to detect, and how many faces to track.

    Attributes:
        faces: the tracks.
        known: number of face_ids given so far: the next new face gets this number.
    """

    def __init__(
        self,
        tracker: PointTracker,
        landmarker: FaceLandmarker | None,
        verifier: FaceVerifier | None,
        policy: RedetectPolicy,
    ) -> None:
        self._tracker, self._policy = tracker, policy
        self._landmarker, self._verifier = landmarker, verifier
        self._propagator = Propagator(tracker, landmarker is not None, policy.faces)
        self._associator = None if verifier is None else Associator(verifier)
        self._schedule = DetectionSchedule(policy)
        self.faces: list[FaceTrack] = []
        self.known = 0
        self._searched: int | None = None
        self._beside: set[frozenset[int]] = set()

    # ---------------------------------------------------------------- for the pipeline

    def clone_empty(self) -> MultiFaceTracker:
        """Return a tracker without faces that shares models and known people with this one."""
        return MultiFaceTracker(self._tracker, self._landmarker, self._verifier, self._policy)

    def begin(
        self,
        frame: Frame,
        placed: Sequence[np.ndarray],
        visible: Sequence[np.ndarray | None] | None = None,
        trust: Sequence[float] | None = None,
    ) -> None:
        """Start tracking faces.

        Args:
            frame: the frame they are in, which is the first of the next clip.
            placed: (N, 2) landmarks of each face, in pixels.
            visible: (N,) of each face, the probability that each landmark is visible; None where it
                is not known.
            trust: of each face, from 0 to 1: 1 for what surely is a face. None: all are.
        """
        probabilities, trusts = visible or [None] * len(placed), trust or [1.0] * len(placed)
        for xy, probability, trusted in zip(placed, probabilities, trusts, strict=True):
            face = self._propagator.start(self.known, frame.image, xy, probability, trusted)
            self.known += 1
            self.faces.append(face)
            if self._verifier is not None:
                self._verifier.enroll_face(face.face_id, frame.image, xy)
        self._schedule.start(frame)

    @property
    def events(self) -> list[Event]:
        """All decisions so far, in order."""
        return self._propagator.events

    @property
    def current(self) -> int:
        """face_id of the face that was seen last."""
        return self._propagator.current

    @property
    def searching(self) -> bool:
        """Whether there is no face to track, so that the next detection should come soon."""
        return not self.faces and self._landmarker is not None

    def cut(self, frame: Frame) -> None:
        """Start a new shot with `frame`, the first of the next clip: all faces are gone."""
        self._propagator.last_xy.clear()
        for face in self.faces:
            if face.status is not FaceStatus.GONE:
                self._propagator.record_event(frame, face, EventReason.CUT)
            face.lose(frame.time)
        if self._policy.cuts_end:
            self.faces = []

    def advance(self, clip: Clip) -> None:
        """Track all faces through a clip, and fill its rows.

        A row holds every track; the points of a face that is gone are NaN.
        """
        # 1. Predict: the point tracker carries all faces through the clip.
        if self.faces:
            self._propagator.propagate(self.faces, clip)
        landmarker, associator = self._landmarker, self._associator
        if landmarker is None or associator is None:
            return
        # 2. Detect, if it is due.
        searching, frame = not self.faces, clip.last
        if searching or self._schedule.is_due(frame, self.faces):
            row, detections = detect_in_clip(landmarker, clip, self.faces, self._searched)
            self._searched = frame.index
            # 3. Associate the detections with the faces.
            association = associator.associate(self.faces, detections, clip, row)
            self._swap_ids(association)
            self._beside |= association.separate_ids()
            # 4. Update each face by its detection.
            # An update may end the track of another face, whose person it identified.
            confirmed = [
                self._update(face, sighting, clip)
                for face, sighting in association.pairs
                if face in self.faces
            ]
            # 5. Birth and death.
            self._remove_duplicates(association)
            if association.unpaired:
                last_xy = self._propagator.last_xy
                self._add(associator.name_newcomers(association, self.faces, self.known, last_xy))
            if searching:
                self._schedule.restart(association.clip.new[row])
            else:
                self._schedule.update(frame, all(confirmed))
        self._remove_gone(frame.time)

    # ---------------------------------------------------------------- 3: identities

    def _swap_ids(self, association: Association) -> None:
        """Give two tracks each other's face_id where each has gone over to the other's face."""
        clip, last_xy = association.clip, self._propagator.last_xy
        for a, b in association.swaps():
            for face in (a, b):
                self._propagator.record_event(clip.last, face, EventReason.OTHER_PERSON)
                clip.clear_unseen_points(face.face_id, clip.last_row)
            a_id, b_id = a.face_id, b.face_id
            a.face_id, b.face_id, a.mismatches, b.mismatches = b_id, a_id, 0, 0
            row = clip.rows[-1]
            row[a_id], row[b_id] = row[b_id], row[a_id]
            last_xy[a_id], last_xy[b_id] = last_xy[b_id], last_xy[a_id]

    # ---------------------------------------------------------------- 4: update
    # Each method returns whether the detection confirms the track.

    def _update(self, face: FaceTrack, sighting: Sighting | None, clip: Clip) -> bool:
        """Update a face by what was detected at its place."""
        if sighting is None:
            return self._update_undetected(face, clip)
        face.misses = 0
        face.checked.append(face.xy)
        other_id = sighting.identify_other(face.face_id)
        if other_id is not None:
            face.mismatches += 1
            changed = face.appearance_changed_row is not None
            if face.mismatches > 1 or face.status is not FaceStatus.TRACKED or changed:
                self._replace(face, other_id, sighting)
            return False
        face.mismatches = 0
        if face.status is not FaceStatus.TRACKED or face.visible.mean() < FOUND_VISIBLE_SHARE:
            return self._update_unseen(face, sighting)
        if not sighting.shows_drift(face):
            face.drifts = 0
            expected = True
            if sighting.is_reliable:
                expected = self._propagator.correct(face, sighting.detection, clip)
                if sighting.agrees:
                    self._learn(face, sighting)
                    self._take_up(face, sighting)
            return expected
        face.drifts += 1
        if face.drifts > 1 or self._policy.every is not None:
            self._restart(face, sighting, EventReason.DRIFT, error=sighting.distance)
        return False

    def _update_unseen(self, face: FaceTrack, sighting: Sighting) -> bool:
        """Update a face that was detected, and that the tracker does not see or sees again."""
        clip, claimed_back_row = sighting.clip, face.claimed_back_row
        if not sighting.shows_unseen(face, self._propagator.last_xy):
            if claimed_back_row is not None:
                self._propagator.lose(face, clip, claimed_back_row)
            return False
        if claimed_back_row is not None and sighting.agrees:
            self._propagator.record_event(
                sighting.frame,
                face,
                EventReason.SEEN_AGAIN,
                after=face.summary(),
                error=sighting.distance,
            )
            face.claimed_back_row = None
            return True
        was_tracked = face.status is FaceStatus.TRACKED
        self._restart(face, sighting, EventReason.DRIFT if was_tracked else EventReason.RETURNED)
        return False

    def _update_undetected(self, face: FaceTrack, clip: Clip) -> bool:
        """Update a face near which none was detected."""
        if face.claimed_back_row is not None:
            self._propagator.lose(face, clip, face.claimed_back_row)
            return False
        if face.status is FaceStatus.GONE:
            return True
        if self._is_on_face(face, clip.last):
            face.misses = 0
            return True
        face.misses += 1
        if face.misses >= MAX_MISSES:
            self._propagator.record_event(clip.last, face, EventReason.NO_FACE)
            self._propagator.lose(face, clip, clip.last_row)
            self.faces.remove(face)
        return False

    def _is_on_face(self, face: FaceTrack, frame: Frame) -> bool:
        """Return whether a face's points may be right although the face detector finds none there.

        They may be if they look like a face, or if the landmark detector places its own there, too.
        """
        assert self._landmarker is not None
        assert self._verifier is not None
        if np.isfinite(face.xy).any():  # a tracker that detects in every frame may know no point
            low, high = np.nanmin(face.xy, 0), np.nanmax(face.xy, 0)
            box = np.concatenate([low, high]).astype(np.float32)
            placed = self._landmarker.place(frame.image, box)
            if placed is not None and not placed.is_doubtful:
                distance = landmark_distance(face.xy, placed.xy, face.visible)
                if distance <= DRIFT_DISTANCE:
                    return True
        return self._verifier.shape_error(face.xy, face.visible) <= MAX_FACE_SHAPE_ERROR

    def _learn(self, face: FaceTrack, sighting: Sighting) -> None:
        """Learn a face's appearance from a detection that confirms it."""
        face.trust = max(face.trust, sighting.detection.trust)
        if sighting.descriptor is not None:
            sighting.enroll(face.face_id)
            face.recognised_at = sighting.frame.time

    def _take_up(self, face: FaceTrack, sighting: Sighting) -> None:
        """Track those points, covered so far, that a detection sees."""
        if face.covered is None:
            return
        detection = sighting.detection
        taken = face.covered.uncovered(detection.visible)
        if taken.any():
            before = face.summary()
            self._propagator.take_up(face, detection.xy, taken, sighting.clip)
            self._propagator.record_event(
                sighting.frame, face, EventReason.UNCOVERED, before=before, after=face.summary()
            )

    def _restart(
        self,
        face: FaceTrack,
        sighting: Sighting,
        reason: EventReason,
        *,
        error: float | None = None,
        first_row: int = 0,
    ) -> None:
        """Continue a face from detected landmarks, back to row `first_row` at most."""
        before, clip = face.summary(), sighting.clip
        detection = sighting.detection
        self._propagator.restart(
            face,
            detection.xy,
            clip,
            sighting.row,
            first_row,
            detection.visible,
            detection.trust,
        )
        if sighting.is_reliable:
            sighting.enroll(face.face_id)
        self._propagator.record_event(
            sighting.frame, face, reason, before=before, after=face.summary(), error=error
        )

    # ---------------------------------------------------------------- 5: birth and death

    def _replace(self, face: FaceTrack, other_id: int, sighting: Sighting) -> None:
        """End a track whose points are on another person's face, and track that person."""
        clip, changed_row = sighting.clip, face.appearance_changed_row
        if face.status is not FaceStatus.GONE:
            self._propagator.record_event(sighting.frame, face, EventReason.OTHER_PERSON)
        for row in (face.claimed_back_row, changed_row):
            if row is not None:
                clip.clear_points(face.face_id, row)
        self.faces.remove(face)
        clip.remove_face(face.face_id, clip.last_row)
        # A person who is tracked already must not be tracked twice.
        if other_id not in self._present_ids():
            known_id = None if other_id == UNKNOWN_PERSON else other_id
            started = self._start(known_id, sighting, first_row=changed_row or 0)
            clip.clear_duplicates(face.face_id, started, DRIFT_DISTANCE)

    def _remove_duplicates(self, association: Association) -> None:
        """End tracks that follow the same face as another."""
        clip = association.clip
        for face, kept in find_duplicates(self.faces, association.seen_ids):
            two_people = frozenset({face.face_id, kept.face_id}) in self._beside
            if two_people and face.status is FaceStatus.GONE:
                continue
            self._propagator.record_event(clip.last, face, EventReason.SAME_FACE)
            if two_people:
                # One has gone behind the other, and is looked for where they part.
                self._propagator.lose(face, clip, clip.last_row)
                continue
            self.faces.remove(face)
            clip.remove_face(face.face_id, clip.last_row)

    def _add(self, newcomers: list[tuple[int | None, Sighting]]) -> None:
        """Start tracks of newcomers, given with their face_ids, as far as there is room."""
        # Known people come first, and first of all the face that was seen last.
        newcomers = sorted(newcomers, key=lambda item: (item[0] != self.current, item[0] is None))
        present, max_faces = self._present_ids(), self._policy.faces
        for face_id, sighting in newcomers:
            if max_faces is not None and len(present) >= max_faces:
                present -= self._remove_doubtful(sighting)
            if face_id in present or max_faces is None or len(present) < max_faces:
                present.add(self._start(face_id, sighting))

    def _remove_doubtful(self, newcomer: Sighting) -> set[int]:
        """End the tracks that may be of no face, to make room for what surely is one.

        Returns:
            Their face_ids.
        """
        doubtful = [face for face in self.faces if face.trust < MIN_TRUST]
        for face in doubtful:
            self._propagator.record_event(newcomer.frame, face, EventReason.NO_FACE)
            self.faces.remove(face)
            newcomer.clip.remove_face(face.face_id, newcomer.row)
        return {face.face_id for face in doubtful}

    def _start(self, face_id: int | None, sighting: Sighting, first_row: int = 0) -> int:
        """Start tracking a detected face.

        Args:
            face_id: of the person; None for an unknown one.
            sighting: the detection.
            first_row: row of the clip before which the face cannot have been there.

        Returns:
            Its face_id.
        """
        reason = EventReason.RETURNED
        if face_id is None:
            face_id, self.known, reason = self.known, self.known + 1, EventReason.FOUND
        track = FaceTrack(face_id, None)
        for old in [f for f in self.faces if f.face_id == face_id or self._policy.faces == 1]:
            if old.face_id == face_id and old.status is not FaceStatus.GONE:
                track, reason = old, EventReason.DRIFT
            self.faces.remove(old)
            sighting.clip.remove_face(old.face_id, sighting.row)
        self.faces.append(track)
        self._restart(track, sighting, reason, first_row=first_row)
        self.faces = without_surplus(self.faces, self._policy.faces)
        return face_id

    def _present_ids(self) -> set[int]:
        """Return the face_ids of all faces that are not gone."""
        return {face.face_id for face in self.faces if face.status is not FaceStatus.GONE}

    def _remove_gone(self, now: float) -> None:
        """Remove the faces that have been gone for long at time `now` (seconds)."""
        for face in self.faces:
            face.appearance_changed_row = None
        self.faces = [
            face
            for face in self.faces
            if face.gone_since is None or now - face.gone_since <= GONE_KEPT_S
        ]
