"""YuNet, a detector of a few hundred kilobytes with five landmarks, run by OpenCV.

Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import (
    FaceBoxes,
    FivePointFaces,
    hog_from_five,
    largest_first,
    map_back,
    points_back,
    resize,
)
from facetrack.ops.image import as_rgb

if TYPE_CHECKING:
    from facetrack.weights import ResolvedWeights

# Frames are brought to at most this longest side, in pixels; the network was trained on faces of
# 10 to 300 pixels, so small frames stay as they are.
LONGEST = 640
# Least score, and most overlap of two faces; OpenCV's defaults.
SURE, OVERLAP, MOST = 0.9, 0.3, 5000

# From five landmarks to dlib's HOG box. For want of the weights, medians over 293 faces of a rule
# from the annotation's own eyes, nose and mouth corners, by benchmarks/calibration/face_boxes.py; MTCNN's
# landmarks lead to the same figures within 4 %. With the weights, --detectors hog,yunet tells the
# true ones.
DOWN, SCALE = 0.47, 3.76


class YuNet:
    """Faces at any angle from profile to frontal, in milliseconds; needs weights fetched once."""

    name = "yunet"

    @cached_property
    def _found(self) -> ResolvedWeights:
        from facetrack.weights import resolve

        return resolve("yunet")

    @cached_property
    def _model(self) -> Any:
        path = self._found.path
        try:
            return cv2.FaceDetectorYN.create(str(path), "", (320, 320), SURE, OVERLAP, MOST)
        except cv2.error as error:
            raise FacetrackError(
                f"{path} is not a YuNet model that OpenCV {cv2.__version__} can read; get it with: "
                "facetrack weights fetch yunet"
            ) from error

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the weights are missing or damaged.
        """
        found = self.detect_raw(image)
        return largest_first(hog_from_five(found.points, DOWN, SCALE), found.score)

    def detect_raw(self, image: np.ndarray) -> FivePointFaces:
        """The network's own boxes and landmarks, before they are brought to the HOG style."""
        model = self._model
        image = as_rgb(image)
        resized = resize(image, min(1.0, LONGEST / max(image.shape[:2])))
        model.setInputSize(resized.shape[1::-1])
        _, rows = model.detect(np.ascontiguousarray(resized[..., ::-1]))
        return from_rows(rows, resized, image)

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: its weights and OpenCV's version."""
        return {"name": self.name, "opencv": cv2.__version__, **self._found.describe()}


def from_rows(rows: np.ndarray | None, resized: np.ndarray, image: np.ndarray) -> FivePointFaces:
    """Faces of `image` from what OpenCV says of `resized`.

    Args:
        rows: (F, 15): x, y, width, height; x and y of the eyes, nose and mouth corners, those on
            the picture's left first; score. None where there is no face.
        resized: (h, w, 3), the picture that the network saw.
        image: (H, W, 3), the picture that it was made of.
    """
    rows = np.empty((0, 15)) if rows is None else np.asarray(rows, float)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4] - 1], axis=1)
    points = points_back(rows[:, 4:14].reshape(-1, 5, 2), resized, image)
    return FivePointFaces(map_back(boxes, resized, image), points, rows[:, 14])
