"""Associate detections with tracked faces: who is who.

Detections are paired with faces by distance. Identity (a descriptor of the face) and shape (how
plausible the landmarks are) then decide whether a pair is to be believed, whether two tracks have
changed over, and who a newly detected face is. Nothing here changes a track.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from facetrack.identity.verifier import FaceVerifier
from facetrack.landmarks.geometry import faces_overlap, landmark_distance
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE, Clip
from facetrack.multiface.detection import DRIFT_DISTANCE, DetectedFace, is_stale
from facetrack.multiface.face_track import FaceStatus, FaceTrack
from facetrack.ops.assignment import linear_assignment
from facetrack.video.frame import Frame

MAX_PAIR_DISTANCE = 0.6
"""Mean distance of landmarks, in sizes of the face, up to which a detection is the tracked face."""
MAX_AGREEMENT_DISTANCE = 0.05
"""The same up to which detection and tracker agree."""
MAX_RELIABLE_SHAPE_ERROR = 1.0
"""Shape error of detected landmarks up to which they are believed against the tracker's."""
MAX_FACE_SHAPE_ERROR = 2.0
"""Shape error of landmarks up to which they are a face at all. Most faces in films have 0.3 to 0.8,
a bandaged one seen from the side 1.5, a hand or a wall 5."""
MIN_SUSPECT_SHAPE_ERROR = 0.8
"""Shape error of the tracker's points from which on a far more plausible detection is believed."""
MIN_HIDDEN_DIFFERENCE = 0.25
"""Difference of the shares of points that two tracks on one face have seen when they saw fewest,
from which on it tells which one has gone over to the other's face."""
UNSEEN_PENALTY = 0.3
"""Distance added to that of faces that are gone, so that a detection goes to one that is seen."""
RECOGNITION_VALID_S = 4.0
"""Seconds for which a recognised face that nothing is wrong with needs no new descriptor: computing
descriptors takes longer than all the rest of a detection."""


@dataclass(frozen=True)
class Sighting:
    """One detected face in one row of a clip, with what its verification needs.

    Attributes:
        detection: box, landmarks and scores.
        clip, row: the clip, and the row of the frame.
        verifier: recognises people, and judges shapes.
        shape_error: implausibility of the landmarks as a face; up to 1 for a face.
        descriptor: (128,) of the face; None where it cannot be described, or need not be.
        distance: of the landmarks from those of the face it is paired with, in sizes of the face
            over the points that the tracker sees; infinite where there is none.
    """

    detection: DetectedFace
    clip: Clip
    row: int
    verifier: FaceVerifier
    shape_error: float
    descriptor: np.ndarray | None
    distance: float = float("inf")

    @property
    def frame(self) -> Frame:
        """The frame it was detected in."""
        return self.clip.new[self.row]

    @property
    def agrees(self) -> bool:
        """Whether it is where the tracker sees the face."""
        return self.distance <= MAX_AGREEMENT_DISTANCE

    @property
    def is_reliable(self) -> bool:
        """Whether its landmarks are believed against the tracker's."""
        return self.shape_error <= MAX_RELIABLE_SHAPE_ERROR and not self.detection.is_doubtful

    def identify_other(self, face_id: int) -> int | None:
        """Return who it shows instead of a face; see `FaceVerifier.identify_other`."""
        return self.verifier.identify_other(face_id, self.descriptor)

    def enroll(self, face_id: int) -> None:
        """Remember its descriptor, if there is one, as that of a face."""
        self.verifier.enroll(face_id, self.descriptor)

    def shows_drift(self, face: FaceTrack) -> bool:
        """Return whether it reliably shows that a face's points are wrong."""
        if not self.is_reliable:
            return False
        tolerance = max(DRIFT_DISTANCE - face.turned_since_start, MAX_AGREEMENT_DISTANCE)
        if self.distance > tolerance or is_stale(face.xy, face.visible, self.detection):
            return True
        # A shape that is hardly a face's is wrong even where little else speaks against it.
        return not self.agrees and self.verifier.shape_error(face.xy, face.visible) > max(
            MIN_SUSPECT_SHAPE_ERROR, 2 * self.shape_error
        )

    def shows_unseen(self, face: FaceTrack, last_xy: dict[int, np.ndarray]) -> bool:
        """Return whether it shows where a face is that the tracker does not see.

        Args:
            face: a face that is gone, claimed to be back, or hardly visible.
            last_xy: (N, 2) where each face was last seen in this shot, by face_id.
        """
        if face.status is FaceStatus.TRACKED:
            # What covers the points that are not visible spoils a detection, too.
            return self.is_reliable
        if self.shape_error > MAX_FACE_SHAPE_ERROR or self.detection.is_doubtful:
            return False
        place = last_xy.get(face.face_id)
        if place is not None and faces_overlap(self.detection.xy, place):
            return True
        return self.verifier.identify(self.descriptor, {face.face_id}) is not None


@dataclass(frozen=True)
class Association:
    """Detections of one frame, associated with the tracked faces.

    Attributes:
        pairs: every tracked face with its sighting, or with None where none was detected.
        unpaired: detections that belong to none of them.
        clip, row: the clip, and the row of the frame.
    """

    pairs: list[tuple[FaceTrack, Sighting | None]]
    unpaired: list[DetectedFace]
    clip: Clip
    row: int

    @property
    def seen_ids(self) -> set[int]:
        """face_ids of the faces that have a sighting."""
        return {face.face_id for face, sighting in self.pairs if sighting is not None}

    def separate_ids(self) -> set[frozenset[int]]:
        """Return the pairs of face_ids that are detected side by side: they are two people."""
        seen = [(face.face_id, s.detection.xy) for face, s in self.pairs if s is not None]
        return {
            frozenset({a, b})
            for (a, first), (b, second) in itertools.combinations(seen, 2)
            if not faces_overlap(first, second)
        }

    def swaps(self) -> list[tuple[FaceTrack, FaceTrack]]:
        """Return the pairs of tracks that have gone over to each other's face.

        One detection is enough for tracks whose points are not seen; it takes two for others.
        """
        unsure = [
            (face, sighting)
            for face, sighting in self.pairs
            if sighting is not None
            and (face.mismatches or face.visible.mean() < FOUND_VISIBLE_SHARE)
        ]
        if len(unsure) < 2:
            return []
        others = {f.face_id: sighting.identify_other(f.face_id) for f, sighting in unsure}
        return [
            (a, b)
            for (a, _), (b, _) in itertools.combinations(unsure, 2)
            if others[a.face_id] == b.face_id and others[b.face_id] == a.face_id
        ]


class Associator:
    """Associate detections with faces by place, identity and shape.

    Args:
        verifier: recognises people, and judges shapes.
    """

    def __init__(self, verifier: FaceVerifier) -> None:
        self._verifier = verifier

    def associate(
        self, faces: Sequence[FaceTrack], detections: list[DetectedFace], clip: Clip, row: int
    ) -> Association:
        """Pair the detections in one row of a clip with the tracked faces."""
        paired = _pair(faces, detections)
        pairs: list[tuple[FaceTrack, Sighting | None]] = []
        for face in faces:
            detection = paired.get(face)
            if detection is None:
                pairs.append((face, None))
                continue
            distance = landmark_distance(face.xy, detection.xy, face.visible)
            others = itertools.chain(
                (f.xy for f in faces if f is not face),
                (d.xy for d in detections if d is not detection),
            )
            known = self._is_known(face, distance, others, clip.new[row].time)
            pairs.append((face, self._sight(detection, clip, row, distance, known)))
        taken = {id(detection) for detection in paired.values()}
        unpaired = [detection for detection in detections if id(detection) not in taken]
        return Association(pairs, unpaired, clip, row)

    def name_newcomers(
        self,
        association: Association,
        faces: Sequence[FaceTrack],
        num_known: int,
        last_xy: dict[int, np.ndarray],
    ) -> list[tuple[int | None, Sighting]]:
        """Find out who the unpaired detections are.

        Args:
            association: the detections.
            faces: those that are tracked by now.
            num_known: number of face_ids given so far.
            last_xy: (N, 2) where each face was last seen in this shot, by face_id.

        Returns:
            Each detection that may be a face, with its face_id or None for an unknown person.
        """
        present = [face for face in faces if face.status is not FaceStatus.GONE]
        # A face that the tracker hardly sees may be detected elsewhere.
        taken = {f.face_id for f in present if f.visible.mean() >= FOUND_VISIBLE_SHARE}
        # So may a face without a detection, because the tracker may see its points on a wall.
        unseen = {face.face_id for face in faces} - association.seen_ids
        named: list[tuple[int | None, Sighting]] = []
        for detection in association.unpaired:
            sighting = self._sight(detection, association.clip, association.row)
            if sighting.shape_error > MAX_FACE_SHAPE_ERROR or detection.is_doubtful:
                continue
            candidates = set(range(num_known)) - (taken - unseen)
            face_id = self._verifier.identify(sighting.descriptor, candidates)
            if face_id is None:
                face_id = self._identify_by_place(sighting, taken, last_xy)
            if face_id is not None:
                taken.add(face_id)
            named.append((face_id, sighting))
        return named

    @staticmethod
    def _identify_by_place(
        sighting: Sighting, taken: Set[int], last_xy: dict[int, np.ndarray]
    ) -> int | None:
        """Return the face last seen at a sighting's place, unless it shows another person."""
        for face_id, xy in last_xy.items():
            if face_id in taken or not faces_overlap(sighting.detection.xy, xy):
                continue
            if sighting.identify_other(face_id) is None:
                return face_id
        return None

    @staticmethod
    def _is_known(
        face: FaceTrack, distance: float, others: Iterable[np.ndarray], time: float
    ) -> bool:
        """Return whether a face was recognised of late and cannot have become another since.

        Args:
            distance: of its detection, as in `Sighting`.
            others: (N, 2) points of all other faces, tracked or detected.
            time: seconds of the frame.
        """
        return (
            face.is_unsuspicious
            and time - face.recognised_at < RECOGNITION_VALID_S
            and bool(face.visible.mean() >= 0.5)
            and distance <= MAX_AGREEMENT_DISTANCE
            and not any(faces_overlap(face.xy, xy) for xy in others)
        )

    def _sight(
        self,
        detection: DetectedFace,
        clip: Clip,
        row: int,
        distance: float = float("inf"),
        known: bool = False,
    ) -> Sighting:
        """Judge a detection's shape, and describe it unless the face is known or implausible."""
        shape_error = self._verifier.shape_error(detection.xy)
        descriptor = None
        if not known and shape_error <= MAX_FACE_SHAPE_ERROR:
            descriptor = self._verifier.describe(clip.new[row].image, detection.xy)
        return Sighting(detection, clip, row, self._verifier, shape_error, descriptor, distance)


def find_duplicates(
    faces: Sequence[FaceTrack], seen_ids: Set[int]
) -> list[tuple[FaceTrack, FaceTrack]]:
    """Return the tracks to give up, each with the other track that follows the same face.

    A track that was hidden of late has gone over to the face that hid its own. Of others, the one
    that a detection confirms is kept, or else the one that sees more.

    Args:
        faces: all tracks.
        seen_ids: face_ids of those that a detection was paired with.
    """
    duplicates: dict[FaceTrack, FaceTrack] = {}
    for a, b in itertools.combinations(faces, 2):
        if a in duplicates or b in duplicates:
            continue
        if landmark_distance(a.xy, b.xy, a.visible | b.visible) >= DRIFT_DISTANCE:
            continue
        if abs(a.least_seen - b.least_seen) > MIN_HIDDEN_DIFFERENCE:
            dropped = min(a, b, key=lambda f: f.least_seen)
        else:
            dropped = min(b, a, key=lambda f: (f.face_id in seen_ids, f.visible.mean()))
        duplicates[dropped] = b if dropped is a else a
    return list(duplicates.items())


def _pair(
    faces: Sequence[FaceTrack], detections: list[DetectedFace]
) -> dict[FaceTrack, DetectedFace]:
    """Pair faces with detections at the least total distance, as far as they are near enough."""
    placed = [face for face in faces if np.isfinite(face.xy).all(-1).any()]
    if not placed or not detections:
        return {}
    every = np.ones(len(detections[0].xy), bool)
    cost = np.array([[landmark_distance(f.xy, d.xy, every) for d in detections] for f in placed])
    unseen = np.array([f.status is not FaceStatus.TRACKED for f in placed])
    # Pairs that are too far apart count alike: how far they are apart must not decide the others.
    counted = np.minimum(cost + UNSEEN_PENALTY * unseen[:, None], MAX_PAIR_DISTANCE)
    chosen = linear_assignment(counted)
    return {placed[i]: detections[j] for i, j in chosen if cost[i, j] < MAX_PAIR_DISTANCE}
