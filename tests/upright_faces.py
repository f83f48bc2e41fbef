"""A drawn face, and a landmark detector and a face detector that know it upright only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from facetrack.detectors.base import Landmarks
from facetrack.detectors.crops import hog_box
from facetrack.face_detectors.base import FaceBoxes
from facetrack.identity.shape_model import ShapeModel
from facetrack.ops.image import as_rgb
from facetrack.orientation.turning import rotation

MEAN = ShapeModel.load().mean
EYES, NOSE, MOUTH = (60, 60, 255), (60, 255, 60), (255, 60, 60)
"""Colours of the discs that mark a face: its eyes' middle, nose and mouth."""


def draw_face(
    centre: tuple[float, float], size: float, roll: float, shape: tuple[int, int] = (240, 320)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face of three discs; returns the picture and its 68 landmarks."""
    xy = size * MEAN @ rotation(roll).T + centre
    image = np.zeros((*shape, 3), np.uint8)
    for points, colour in ((xy[36:48], EYES), (xy[27:36], NOSE), (xy[48:68], MOUTH)):
        x, y = (round(float(v) * 16) for v in points.mean(0))
        cv2.circle(image, (x, y), int(size * 1.6), colour, -1, cv2.LINE_AA, 4)
    return image, xy.astype(np.float32)


def marks(image: np.ndarray) -> np.ndarray | None:
    """Return the centres (3, 2) of the three discs; None if one does not show."""
    centres = []
    for colour in (EYES, NOSE, MOUTH):
        near = (np.abs(image.astype(int) - colour) < 60).all(-1)
        if near.sum() < 8:
            return None
        y, x = np.nonzero(near)
        centres.append((x.mean(), y.mean()))
    return np.array(centres)


def roll_of(centres: np.ndarray) -> float:
    """Return the roll of a face in radians from its discs."""
    right, down = centres[2] - centres[0]
    return float(np.arctan2(-right, down))


class UprightLandmarks:
    """Places the mean face on the discs. The less upright these are, the less sure it is."""

    name, scheme = "drawn", "68"

    def __init__(self, weights: str = "star-s", max_roll: float = 60.0) -> None:
        self.weights, self.max_roll = weights, max_roll
        self.calls = 0

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        return self.detect_many([image], [boxes])[0]

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        return [self._detect(*pair) for pair in zip(images, boxes, strict=True)]

    def _detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        image, boxes = as_rgb(image), np.asarray(boxes, float).reshape(-1, 4)
        xy = np.zeros((len(boxes), 68, 2), np.float32)
        score = np.full((len(boxes), 68), 0.1, np.float32)
        for face, box in enumerate(boxes):
            self.calls += 1
            x0, y0, x1, y1 = np.clip(np.rint(box), 0, None).astype(int)
            centres = marks(image[y0 : y1 + 1, x0 : x1 + 1])
            side = box[2] - box[0]
            middle, roll, size = (box[:2] + box[2:]) / 2, 0.0, side / 2
            if centres is not None:
                roll = roll_of(centres)
                score[face] = 0.9 if abs(np.degrees(roll)) < self.max_roll else 0.2
                # Beyond what it knows it places an upright face of the wrong shape.
                if score[face, 0] > 0.5:
                    model = np.array([MEAN[p].mean(0) for p in (range(36, 48), range(48, 68))])
                    size = np.linalg.norm(centres[2] - centres[0]) / np.ptp(model[:, 1])
                    nose = MEAN[27:36].mean(0)
                    middle = centres[1] + (x0, y0) - size * rotation(roll) @ nose
                else:
                    roll = 0.0
            xy[face] = size * MEAN @ rotation(roll).T + middle
        return Landmarks(xy, score)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.weights}


class UprightFaces:
    """Finds the drawn face in a picture if it is upright, to `max_roll` degrees.

    Args:
        always: box (4,) of a face that it also finds, where none is.
    """

    name = "drawn"

    def __init__(self, max_roll: float = 40.0, always: np.ndarray | None = None) -> None:
        self.max_roll, self.always = max_roll, always
        self.calls = 0

    def detect(self, image: np.ndarray) -> FaceBoxes:
        self.calls += 1
        boxes = [] if self.always is None else [self.always]
        centres = marks(image)
        if centres is not None and abs(np.degrees(roll_of(centres))) < self.max_roll:
            size = np.linalg.norm(centres[2] - centres[0]) / np.ptp(
                [MEAN[36:48, 1].mean(), MEAN[48:68, 1].mean()]
            )
            box = hog_box(size * MEAN)
            half = (box[2:] - box[:2]) / 2
            middle = centres[1] - size * MEAN[27:36].mean(0) + (box[:2] + box[2:]) / 2
            boxes.append(np.concatenate([middle - half, middle + half]))
        found = np.array(boxes, np.float32).reshape(-1, 4)
        return FaceBoxes(found, np.ones(len(found), np.float32))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}
