"""Stage 1 on one frame: the faces in it, with their landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.detectors import LandmarkDetector
from facetrack.face_detectors import FaceDetector
from facetrack.landmarks.geometry import landmark_distance

DRIFTED = 0.1
"""Mean distance of tracked from detected landmarks, in sizes of the face, over the points that the
tracker sees, from where it must be wrong."""
STALE = 0.08
"""The same, over all points, from where a tracker that sees few of them is wrong about the others,
if the landmark detector trusts those it does not see as much as the rest."""
AS_MUCH = 0.9
"""Share of the score of the seen points that the others then have. Measured on real clips with
star-s: 0.4 to 0.87 under a hand or in smoke, 0.9 and more where the tracker has lost the points."""


@dataclass(frozen=True)
class DetectedFace:
    """A face that was found, and its landmarks.

    Attributes:
        box: (4,) x0 y0 x1 y1 pixels, pixel centres.
        xy: (N, 2) float32 pixels, pixel centres, finite.
        score: (N,) float32 in [0, 1].
    """

    box: np.ndarray
    xy: np.ndarray
    score: np.ndarray


class FaceLandmarker:
    """Finds faces and places their landmarks.

    Args:
        detector: places the landmarks.
        faces: finds faces; may be slow.
        quick: finds faces at most frames.
    """

    def __init__(
        self, detector: LandmarkDetector, faces: FaceDetector, quick: FaceDetector
    ) -> None:
        self.detector, self._faces, self._quick = detector, faces, quick

    def find(
        self, image: np.ndarray, most: int | None = None, thorough: bool = False
    ) -> list[DetectedFace]:
        """The faces of an image (H, W, 3) uint8 RGB, largest first.

        Args:
            most: so many at most; None: all.
            thorough: with the detector that may be slow.
        """
        boxes = (self._faces if thorough else self._quick).detect(image).boxes[:most]
        if not len(boxes):
            return []
        found = self.detector.detect(image, boxes)
        return [
            DetectedFace(box, xy, score)
            for box, xy, score in zip(boxes, found.xy, found.score, strict=True)
            if np.isfinite(xy).all()
        ]

    def place(self, image: np.ndarray, box: np.ndarray) -> DetectedFace | None:
        """Landmarks of the face said to be in `box` (4,); None where the detector has no idea."""
        found = self.detector.detect(image, box[None])
        if not np.isfinite(found.xy[0]).all():
            return None
        return DetectedFace(box, found.xy[0], found.score[0])


def stale(xy: np.ndarray, visible: np.ndarray, one: DetectedFace) -> bool:
    """Whether tracked landmarks (N, 2) are called hidden that a detector sees as well as the
    rest, and sees elsewhere."""
    # Some detectors have no opinion on their points.
    if visible.mean() > 0.8 or np.ptp(one.score) < 1e-6:
        return False
    far = landmark_distance(xy, one.xy, np.ones(len(xy), bool)) > STALE
    return far and bool(one.score[~visible].mean() >= AS_MUCH * one.score[visible].mean())
