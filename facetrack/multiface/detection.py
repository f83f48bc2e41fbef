"""Stage 1 on one frame: the faces in it, with their landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.detectors import LandmarkDetector
from facetrack.face_detectors import FaceDetector

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
class Placed:
    """A face that was found, and its landmarks.

    Attributes:
        box: (4,) x0 y0 x1 y1 pixels, pixel centres.
        xy: (N, 2) float32 pixels, pixel centres, finite.
        score: (N,) float32 in [0, 1].
    """

    box: np.ndarray
    xy: np.ndarray
    score: np.ndarray


class Finder:
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
    ) -> list[Placed]:
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
            Placed(box, xy, score)
            for box, xy, score in zip(boxes, found.xy, found.score, strict=True)
            if np.isfinite(xy).all()
        ]

    def place(self, image: np.ndarray, box: np.ndarray) -> Placed | None:
        """Landmarks of the face said to be in `box` (4,); None where the detector has no idea."""
        found = self.detector.detect(image, box[None])
        if not np.isfinite(found.xy[0]).all():
            return None
        return Placed(box, found.xy[0], found.score[0])


def face_size(xy: np.ndarray) -> float:
    """Size in pixels of a face with landmarks (N, 2): the geometric mean of their extents, which
    a turn of the head changes less than the distance of the eyes. NaN where none is known."""
    known = xy[np.isfinite(xy).all(-1)]
    if not len(known):
        return float("nan")
    return max(1.0, float(np.sqrt(np.prod(np.maximum(np.ptp(known, 0), 1e-3)))))


def near(xy: np.ndarray, there: np.ndarray) -> bool:
    """Whether the middles of two sets of landmarks are within the size of the larger face: what a
    tracker makes of a face that it loses often shrinks."""
    if not (np.isfinite(xy).any() and np.isfinite(there).any()):
        return False
    away = np.linalg.norm(np.nanmean(xy, 0) - np.nanmean(there, 0))
    return bool(away < max(face_size(xy), face_size(there)))


def apart(one: np.ndarray, other: np.ndarray, counted: np.ndarray) -> float:
    """Mean distance of landmarks (N, 2) in shares of the face's size, over those that are `counted`
    (N,) and known in both; infinite where there are fewer than a quarter."""
    counted = counted & np.isfinite(one).all(-1) & np.isfinite(other).all(-1)
    if counted.mean() < 0.25:
        return float("inf")
    distance = np.linalg.norm(one[counted] - other[counted], axis=-1).mean()
    return float(distance / face_size(other))


def stale(xy: np.ndarray, visible: np.ndarray, one: Placed) -> bool:
    """Whether tracked landmarks (N, 2) are called hidden that a detector sees as well as the
    rest, and sees elsewhere."""
    # Some detectors have no opinion on their points.
    if visible.mean() > 0.8 or np.ptp(one.score) < 1e-6:
        return False
    far = apart(xy, one.xy, np.ones(len(xy), bool)) > STALE
    return far and bool(one.score[~visible].mean() >= AS_MUCH * one.score[visible].mean())


def cheapest_pairs(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of least cost in all: cost (R, C), finite; min(R, C) pairs."""
    if min(cost.shape) == 1:
        row, column = divmod(int(cost.argmin()), cost.shape[1])
        return [(row, column)]
    import dlib  # is there for identities; scipy would take a third of a second to import

    rows, columns = cost.shape
    gain = np.zeros((max(cost.shape), max(cost.shape)))
    gain[:rows, :columns] = -cost
    chosen = enumerate(dlib.max_cost_assignment(dlib.matrix(gain.tolist())))
    return [(i, j) for i, j in chosen if i < rows and j < columns]
