"""Search for faces in pictures that are turned, and place their landmarks."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.face_detectors.base import FaceDetector
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import landmark_distance
from facetrack.orientation.detector import JudgedLandmarks, detect_judged
from facetrack.orientation.turning import (
    QUARTER,
    boxes_back,
    nearest_quarter,
    rotation,
    turn_picture,
)

MAX_DUPLICATE_DISTANCE = 0.3
"""Mean distance of the landmarks of two boxes, in sizes of the face, up to which they show the same
face."""


def places_any_roll(detector: LandmarkDetector) -> bool:
    """Return whether a landmark detector handles faces at any roll, as an `OrientedDetector`."""
    return bool(getattr(detector, "any_roll", False))


def quarter_of(xy: np.ndarray, scheme: str) -> int:
    """Return the number of quarter turns, 0 to 3, that is nearest to the roll of a face.

    Args:
        xy: (N, 2) landmarks in pixels.
        scheme: name of their layout.

    Returns:
        The number; 0 where the eyes are unknown.
    """
    return nearest_quarter(eye_roll(xy, scheme))


def eye_roll(xy: np.ndarray, scheme: str) -> float:
    """Return the roll of a face in radians: that of the line through the outer eye corners.

    Args:
        xy: (N, 2) landmarks in pixels.
        scheme: name of their layout.

    Returns:
        The roll; 0 where the eyes are unknown.
    """
    corners = schemes.get(scheme).eye_corners
    if corners is None or len(xy) <= max(corners):
        return 0.0
    x, y = np.asarray(xy[corners[1]] - xy[corners[0]], float)
    return math.atan2(y, x) if np.isfinite(x + y) else 0.0


def find_turned(faces: FaceDetector, image: np.ndarray, quarters: Iterable[int]) -> np.ndarray:
    """Find faces in an image (H, W, 3) turned by quarter turns.

    Returns:
        Their boxes (F, 4) float32 in pixels of the image, those of the first turn first.
    """
    size = (image.shape[1], image.shape[0])
    boxes = [np.empty((0, 4), np.float32)]
    for quarter in quarters:
        boxes.append(boxes_back(faces.detect(turn_picture(image, quarter)).boxes, quarter, size))
    return np.concatenate(boxes)


def find_tilted(faces: FaceDetector, image: np.ndarray) -> np.ndarray:
    """Find faces in an image (H, W, 3) turned by odd multiples of 45 degrees.

    Returns:
        Their boxes (F, 4) float32 in pixels of the image.
    """
    height, width = image.shape[:2]
    side = math.ceil(math.hypot(height, width))
    middle, centre = np.full(2, (side - 1) / 2), (np.array([width, height]) - 1) / 2
    boxes = [np.empty((0, 4), np.float32)]
    for turn in range(4):
        matrix = rotation((turn + 0.5) * QUARTER)
        transform = np.concatenate([matrix, (centre - matrix @ middle)[:, None]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found = faces.detect(cv2.warpAffine(image, transform, (side, side), flags=flags)).boxes
        middles = ((found[:, :2] + found[:, 2:]) / 2 - middle) @ matrix.T + centre
        half = (found[:, 2:] - found[:, :2]) / 2
        boxes.append(np.concatenate([middles - half, middles + half], 1).astype(np.float32))
    return np.concatenate(boxes)


def find_at_any_roll(
    faces: FaceDetector,
    detector: LandmarkDetector,
    image: np.ndarray,
    max_faces: int | None = None,
    tilts: bool = True,
) -> tuple[np.ndarray, JudgedLandmarks]:
    """Find faces that are hard to find upright, and place their landmarks.

    Args:
        faces: finds upright faces; it sees the picture in all quarter turns.
        detector: places landmarks at any roll.
        image: (H, W, 3) uint8 RGB.
        max_faces: largest number of faces, the largest first; None: all.
        tilts: whether to look at the picture in turns by odd multiples of 45 degrees, too, if
            quarter turns show no face.

    Returns:
        The boxes (F, 4) of the faces with plausible landmarks, and the landmarks.
    """
    for tilted in (False, True) if tilts else (False,):
        boxes = find_tilted(faces, image) if tilted else find_turned(faces, image, (0, 1, 3, 2))
        order = np.argsort(-np.ptp(boxes[:, ::2], axis=1), kind="stable")
        marks = detect_judged(detector, image, boxes[order])
        kept = distinct(marks.xy)[:max_faces]
        if kept:
            break
    return boxes[order][kept], JudgedLandmarks(*(part[kept] for part in marks))


def distinct(xy: np.ndarray) -> list[int]:
    """Return the indices of those landmarks (F, N, 2) that are known and no face's second ones."""
    kept: list[int] = []
    for face, points in enumerate(xy):
        if not np.isfinite(points).all():
            continue
        every = np.ones(len(points), bool)
        if all(landmark_distance(points, xy[i], every) > MAX_DUPLICATE_DISTANCE for i in kept):
            kept.append(face)
    return kept
