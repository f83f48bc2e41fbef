"""dlib's convolutional face detector (max-margin object detection): thorough and slow."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from facetrack.face_detectors.base import FaceBoxes, hog_from_box, largest_first, map_back, resize
from facetrack.ops.image import as_rgb
from facetrack.weights.dlib_models import model_file, unreadable_error

IMAGE_PIXELS = 600_000
"""Number of pixels to which every image is resized, because time and memory grow with it. Small
images are enlarged at most twice. The network finds faces from 80 pixels: from 40 in frames up to
440 x 340, from 150 in frames of 1920 x 1080."""
MIN_IMAGE_PX = 40
"""Minimum side of the resized image. A smaller one has no room for a face, and below nine pixels
the network's padding does not cover its filters."""

# From the CNN's box to dlib's HOG box of the same face: the centre moves by SHIFT (right, down) of
# the CNN box's side, and the side is multiplied by SCALE. Medians over 58 annotated faces that both
# detectors found, measured by benchmarks/calibration/face_boxes.py. They reduce the distance of
# ERT's landmarks between the two boxes from 1.45 to 1.03 % of the inter-ocular distance (median,
# held out).
SHIFT = (0.06, 0.07)
SCALE = 1.06


class DlibCnn:
    """Detects faces at any angle from profile to frontal, in seconds per image on a CPU."""

    name = "cnn"

    @cached_property
    def _model(self) -> Any:
        import dlib

        file = model_file("mmod_human_face_detector.dat")
        try:
            return dlib.cnn_face_detection_model_v1(str(file.path))
        except RuntimeError as error:
            raise unreadable_error(file, error) from error

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        raw = self.detect_raw(image)
        return largest_first(hog_from_box(raw.boxes, SHIFT, SCALE), raw.score)

    def detect_raw(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces with the network's own boxes, not converted to the HOG detector's style."""
        image = as_rgb(image)
        height, width = image.shape[:2]
        resized = resize(image, min(2.0, math.sqrt(IMAGE_PIXELS / (height * width))))
        if min(resized.shape[:2]) < MIN_IMAGE_PX:
            return largest_first(np.empty((0, 4)), np.empty(0))
        faces = self._model(resized, 0)
        boxes = [(f.rect.left(), f.rect.top(), f.rect.right(), f.rect.bottom()) for f in faces]
        score = [f.confidence for f in faces]
        return largest_first(map_back(np.array(boxes), resized, image), np.array(score))

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: its weights and dlib's version."""
        import dlib

        file = model_file("mmod_human_face_detector.dat")
        return {"name": self.name, "dlib": dlib.__version__, **file.describe()}
