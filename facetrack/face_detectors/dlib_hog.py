"""dlib's frontal face detector: histograms of oriented gradients and five linear filters."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from facetrack.face_detectors.base import FaceBoxes, largest_first, map_back, resize
from facetrack.ops.image import as_rgb

# The filters are 80 pixels wide: at scale 1 a face must be that large. The first pass therefore
# searches the frame itself, and a second pass, if the first finds nothing, the frame at twice that
# size. In a 3840 x 2160 frame the passes find faces from 240 and from 120 pixels, in frames up to
# 1280 x 720 from 80 and from 40.
MAX_SIDE_PX = 1280
"""Longest side to which larger frames are reduced first. It bounds the work: the second pass never
searches a side above twice this."""
# Small frames, in which people are small too, get a third pass. It finds faces from 20 pixels in
# frames up to 480 pixels wide.
THIRD_PASS_SCALE = 4.0
"""Maximum enlargement of the third pass."""
THIRD_PASS_MAX_PX = 1920
"""Longest side of the frame in the third pass."""
THIRD_PASS_MIN_SCORE = 0.1
"""Minimum score of a face in the third pass. It is high because small faces show little detail."""


class DlibHog:
    """Detects near-frontal faces from about 40 pixels (20 in small frames).

    It takes tens of milliseconds per image.
    """

    name = "hog"

    @cached_property
    def _model(self) -> Any:
        import dlib

        return dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8."""
        image = as_rgb(image)
        scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
        faces = self._pass(image, scale)
        if not len(faces.boxes):
            faces = self._pass(image, 2 * scale)
        largest = min(THIRD_PASS_SCALE, THIRD_PASS_MAX_PX / max(image.shape[:2]))
        if not len(faces.boxes) and largest > 2:
            faces = self._pass(image, largest, THIRD_PASS_MIN_SCORE)
        return faces

    def _pass(self, image: np.ndarray, scale: float, min_score: float = 0.0) -> FaceBoxes:
        resized = resize(image, scale)
        rectangles, score, _ = self._model.run(resized, 0, min_score)
        # dlib's right and bottom are the last pixels inside, so all four are pixel centres already.
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return largest_first(map_back(np.array(boxes), resized, image), np.array(score))

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record. Its filters are compiled into dlib."""
        import dlib

        return {"name": self.name, "dlib": dlib.__version__, "licence": "BSL-1.0 (dlib)"}
