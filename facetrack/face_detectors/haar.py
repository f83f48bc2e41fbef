"""OpenCV's cascade of Haar features: fast on frontal faces, but with false alarms.

Viola and Jones, Rapid Object Detection using a Boosted Cascade of Simple Features, CVPR 2001.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes, hog_from_box, largest_first, map_back, resize
from facetrack.ops.image import as_rgb
from facetrack.weights.dlib_models import ModelFile

CASCADE = "haarcascade_frontalface_alt2.xml"
LICENCE = "Intel License Agreement for OpenCV (in the file); BSD-like"
PAPER = "Viola and Jones, CVPR 2001; Lienhart and Maydt, ICIP 2002"
MAX_SIDE_PX = 1280
"""Longest side to which larger frames are reduced first, as for the HOG detector."""
MIN_FACE_PX = 20
"""Side of the smallest detected face, after that reduction."""
MIN_NEIGHBOURS = 4
"""Number of overlapping hits that make a face."""
SCALE_STEP = 1.1
"""Ratio of successive face sizes."""

# From the cascade's box to dlib's HOG box: medians over 277 annotated faces that both detectors
# found, measured by benchmarks/calibration/face_boxes.py. ERT's landmarks from the two boxes are
# then 0.91 % of the inter-ocular distance apart (median, held out).
SHIFT = (0.005, 0.08)
SCALE = 0.945


class Haar:
    """Detects frontal faces from 20 pixels. Needs OpenCV 4: OpenCV 5 no longer has the cascade."""

    name = "haar"

    @cached_property
    def _file(self) -> ModelFile:
        data = getattr(cv2, "data", None)
        path = Path(data.haarcascades if data else ".") / CASCADE
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise FacetrackError(
                f"The face detector haar needs OpenCV 4, and this is OpenCV {cv2.__version__}, "
                "which has no Haar cascades: choose another --face-detector, or run: "
                'pip install "opencv-python<5"'
            )
        return ModelFile(CASCADE, path, LICENCE)

    @cached_property
    def _model(self) -> Any:
        path = str(self._file.path)
        # vars() hides the name from type checkers, because the installed OpenCV may lack it.
        model = vars(cv2)["CascadeClassifier"](path)
        if model.empty():
            raise FacetrackError(f"OpenCV cannot read {path}: install opencv-python again.")
        return model

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: this OpenCV has no Haar cascade.
        """
        raw = self.detect_raw(image)
        return largest_first(hog_from_box(raw.boxes, SHIFT, SCALE), raw.score)

    def detect_raw(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces with the cascade's own boxes, not converted to the HOG detector's style."""
        model = self._model
        image = as_rgb(image)
        resized = resize(image, min(1.0, MAX_SIDE_PX / max(image.shape[:2])))
        if min(resized.shape[:2]) < MIN_FACE_PX:
            return largest_first(np.empty((0, 4)), np.empty(0))
        grey = cv2.equalizeHist(cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY))
        found, _, score = model.detectMultiScale3(
            grey,
            SCALE_STEP,
            MIN_NEIGHBOURS,
            minSize=(MIN_FACE_PX, MIN_FACE_PX),
            outputRejectLevels=True,
        )
        boxes = np.asarray(found, float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2] - 1
        return largest_first(map_back(boxes, resized, image), np.asarray(score))

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: its cascade, OpenCV's version, the paper."""
        return {
            "name": self.name,
            "opencv": cv2.__version__,
            **self._file.describe(),
            "paper": PAPER,
        }
