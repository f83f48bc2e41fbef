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

MAX_SIDE_PX = 640
"""Longest side to which larger frames are reduced. The network was trained on faces of 10 to 300
pixels, so small frames are not enlarged."""
MIN_SCORE, MAX_OVERLAP, MAX_DETECTIONS = 0.9, 0.3, 5000
"""Minimum score, maximum overlap (intersection over union) and number of faces: OpenCV's defaults.
"""

# From five landmarks to dlib's HOG box. YuNet's weights were not available to measure these: they
# are medians over the annotated eyes, nose and mouth corners of 293 faces, measured by
# benchmarks/calibration/face_boxes.py. MTCNN's landmarks give the same numbers within 4 %. With the
# weights, run it with --detectors hog,yunet to measure them.
DOWN, SCALE = 0.47, 3.76


class YuNet:
    """Detects faces at any angle from profile to frontal, in milliseconds.

    Its weights must be fetched once.
    """

    name = "yunet"

    @cached_property
    def _found(self) -> ResolvedWeights:
        from facetrack.weights import resolve

        return resolve("yunet")

    @cached_property
    def _model(self) -> Any:
        path = self._found.path
        try:
            return cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), MIN_SCORE, MAX_OVERLAP, MAX_DETECTIONS
            )
        except cv2.error as error:
            raise FacetrackError(
                f"{path} is not a YuNet model that OpenCV {cv2.__version__} can read; get it with: "
                "facetrack weights fetch yunet"
            ) from error

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the weights are missing or damaged.
        """
        raw = self.detect_raw(image)
        return largest_first(hog_from_five(raw.points, DOWN, SCALE), raw.score)

    def detect_raw(self, image: np.ndarray) -> FivePointFaces:
        """Detect faces with the network's own boxes and landmarks, not in the HOG style."""
        model = self._model
        image = as_rgb(image)
        resized = resize(image, min(1.0, MAX_SIDE_PX / max(image.shape[:2])))
        model.setInputSize(resized.shape[1::-1])
        _, rows = model.detect(np.ascontiguousarray(resized[..., ::-1]))
        return from_rows(rows, resized, image)

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: its weights and OpenCV's version."""
        return {"name": self.name, "opencv": cv2.__version__, **self._found.describe()}


def from_rows(rows: np.ndarray | None, resized: np.ndarray, image: np.ndarray) -> FivePointFaces:
    """Convert OpenCV's result for `resized` to faces of `image`.

    Args:
        rows: (F, 15): x, y, width, height; x and y of the eyes, nose and mouth corners, those on
            the image's left first; score. None if there is no face.
        resized: (h, w, 3), the network's input.
        image: (H, W, 3), the original image.
    """
    rows = np.empty((0, 15)) if rows is None else np.asarray(rows, float)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4] - 1], axis=1)
    points = points_back(rows[:, 4:14].reshape(-1, 5, 2), resized, image)
    return FivePointFaces(map_back(boxes, resized, image), points, rows[:, 14])
