"""Find the faces of one frame and place their landmarks (stage 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facetrack.detectors import LandmarkDetector
from facetrack.face_detectors import FaceDetector
from facetrack.landmarks.geometry import inside_picture, landmark_distance
from facetrack.multiface.clip import Clip
from facetrack.multiface.face_track import FaceStatus, FaceTrack
from facetrack.orientation.detector import detect_judged
from facetrack.orientation.search import (
    distinct,
    find_at_any_roll,
    find_turned,
    places_any_roll,
    quarter_of,
)

if TYPE_CHECKING:
    from facetrack.confidence.estimator import ConfidenceEstimator

DRIFT_DISTANCE = 0.1
"""Mean distance of tracked from detected landmarks, in sizes of the face and over the points that
the tracker sees, from which on the tracker must be wrong."""
STALE_DISTANCE = 0.08
"""The same over all points, from which on a tracker that sees few points is wrong about the hidden
ones, if these are more likely visible than not in the detection."""
TURNED_SEARCH_STRIDE = 25
"""Frames between two searches for faces on their side and upside down while no face is there. Such
a search takes four times as long."""
MIN_TRUST = 1.0
"""Trust below which landmarks are more likely those of something else than a face's: it is 1 from
even odds on."""


@dataclass(frozen=True)
class DetectedFace:
    """A detected face with its landmarks.

    Attributes:
        box: (4,) x0 y0 x1 y1 pixels, origin at the centre of the top-left pixel.
        xy: (N, 2) float32 pixels, same origin, finite.
        score: (N,) float32 in [0, 1], the landmark detector's trust in each point.
        visible: (N,) float32, probability that each landmark is visible; None where it is not
            known.
        trust: from 0 to 1, 1 for what surely is a face.
    """

    box: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    visible: np.ndarray | None = None
    trust: float = 1.0

    @property
    def is_doubtful(self) -> bool:
        """Whether it may be no face at all."""
        return self.trust < MIN_TRUST


class FaceLandmarker:
    """Find faces and place their landmarks.

    Args:
        detector: places the landmarks.
        faces: finds faces thoroughly; may be slow.
        quick: finds faces in most frames.
        get_confidence: returns the estimator of the landmarks' visibility, or None; called on first
            use.
    """

    def __init__(
        self,
        detector: LandmarkDetector,
        faces: FaceDetector,
        quick: FaceDetector,
        get_confidence: Callable[[], ConfidenceEstimator | None] = lambda: None,
    ) -> None:
        self.detector, self._faces, self._quick = detector, faces, quick
        self._get_confidence = get_confidence

    def find(
        self,
        image: np.ndarray,
        max_faces: int | None = None,
        thorough: bool = False,
        expected: Iterable[np.ndarray] = (),
        any_roll: bool | None = None,
    ) -> list[DetectedFace]:
        """Detect the faces of an image (H, W, 3) uint8 RGB, largest first, doubtful ones last.

        Args:
            max_faces: largest number of faces; None: all.
            thorough: use the face detector that may be slow.
            expected: (N, 2) landmarks, NaN where unknown, of faces that are looked for. They are
                also found where they lie on their side or upside down.
            any_roll: search the picture in all turns if no certain face is found; None: if
                `thorough`.
        """
        boxes = (self._faces if thorough else self._quick).detect(image).boxes
        found = self._place_all(image, boxes[:max_faces])
        certain = sum(not face.is_doubtful for face in found)
        if max_faces is not None and certain < max_faces < len(boxes):
            found = _certain_first(found + self._place_all(image, boxes[max_faces:]))[:max_faces]
        if not places_any_roll(self.detector):
            return found
        scheme = self.detector.scheme
        quarters = sorted({quarter_of(xy, scheme) for xy in expected} - {0})
        if quarters:
            turned = find_turned(self._quick, image, quarters)
            found = self._without_duplicates(found + self._place_all(image, turned))
            found = _certain_first(found)[:max_faces]
        doubtful = all(face.is_doubtful for face in found)
        if doubtful and (thorough if any_roll is None else any_roll):
            boxes, marks = find_at_any_roll(
                self._quick, self.detector, image, max_faces, tilts=thorough
            )
            turned_faces = self._judge(image, _faces(boxes, *marks))
            found = self._without_duplicates(_certain_first(turned_faces + found))[:max_faces]
        return found

    def _place_all(self, image: np.ndarray, boxes: np.ndarray) -> list[DetectedFace]:
        """Return the faces in boxes (F, 4) in which the detector places all landmarks."""
        if not len(boxes):
            return []
        marks = detect_judged(self.detector, image, boxes)
        return _certain_first(self._judge(image, _faces(boxes, *marks)))

    @staticmethod
    def _without_duplicates(faces: list[DetectedFace]) -> list[DetectedFace]:
        """Drop faces whose landmarks are those of an earlier one."""
        if len(faces) < 2:
            return faces
        return [faces[i] for i in distinct(np.stack([face.xy for face in faces]))]

    def place(self, image: np.ndarray, box: np.ndarray) -> DetectedFace | None:
        """Place landmarks in a given box (4,); None where the detector places none."""
        found = _faces(box[None], *detect_judged(self.detector, image, box[None]))
        return found[0] if found else None

    def _judge(self, image: np.ndarray, faces: list[DetectedFace]) -> list[DetectedFace]:
        """Add the probabilities that landmarks are visible: those outside the picture are not."""
        confidence = self._get_confidence()
        if confidence is None or not faces:
            return faces
        xy = np.stack([face.xy for face in faces])
        visible = confidence.estimate(image, xy).visible
        visible = np.where(inside_picture(xy, image), visible, np.minimum(visible, 0.1))
        return [replace(face, visible=v) for face, v in zip(faces, visible, strict=True)]


def _faces(
    boxes: np.ndarray, xy: np.ndarray, score: np.ndarray, trust: np.ndarray
) -> list[DetectedFace]:
    """Return the faces whose landmarks are all known."""
    return [
        DetectedFace(box, points, points_score, trust=float(face_trust))
        for box, points, points_score, face_trust in zip(boxes, xy, score, trust, strict=True)
        if np.isfinite(points).all()
    ]


def _certain_first(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Return the faces in their order, the doubtful ones last."""
    return sorted(faces, key=lambda face: face.is_doubtful)


def detect_in_clip(
    landmarker: FaceLandmarker, clip: Clip, faces: Sequence[FaceTrack], searched: int | None = None
) -> tuple[int, list[DetectedFace]]:
    """Detect faces in the last row of a clip, upright and at the rolls of the tracked faces.

    All quarter turns are tried now and then while no face is there. A search that finds faces goes
    on to the first row that shows any.

    Args:
        faces: the tracks; none while a face is searched for.
        searched: index of the frame in which faces were detected last; None: not yet.

    Returns:
        The row, and the faces in it.
    """
    before = clip.new[0].index - 1 if searched is None else searched
    is_time = clip.last.index // TURNED_SEARCH_STRIDE != before // TURNED_SEARCH_STRIDE
    missing = is_time and all(face.status is FaceStatus.GONE for face in faces)
    tracked = [face.xy for face in faces]
    detections = landmarker.find(clip.last.image, expected=tracked, any_roll=missing)
    if not faces and detections:
        for row, frame in enumerate(clip.new[:-1]):
            earlier = landmarker.find(frame.image, expected=[found.xy for found in detections])
            if earlier:
                return row, earlier
    return clip.last_row, detections


def is_stale(xy: np.ndarray, visible: np.ndarray, detection: DetectedFace) -> bool:
    """Return whether the tracker has lost points that a detection sees elsewhere.

    Args:
        xy: (N, 2) tracked points, pixels.
        visible: (N,) bool, the points that the tracker sees.
        detection: of the same face in the same frame.
    """
    if detection.visible is None or visible.mean() > 0.8:
        return False
    if landmark_distance(xy, detection.xy, np.ones(len(xy), bool)) <= STALE_DISTANCE:
        return False
    return bool(detection.visible[~visible].mean() > 0.5)
