"""dlib's frontal face detector: histograms of oriented gradients and five linear filters."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from facetrack.face_detectors.base import FaceBoxes, largest_first, map_back, resize
from facetrack.ops.image import as_rgb

# The filters are 80 pixels wide: at scale 1 a face must be that large. A first pass therefore
# looks at the frame itself, and a second one, when it finds nothing, at twice that size. Frames
# whose longest side exceeds LONGEST are brought down to it first, so that the work is bounded:
# the second pass never sees a side above 2 * LONGEST. In a 3840 x 2160 frame the passes find
# faces from 240 and from 120 pixels, in one of 1280 x 720 or less from 80 and from 40.
LONGEST = 1280
# Small frames, where people are small too, get a third pass at up to ENLARGE times their size (to a
# longest side of ENLARGED): faces from 20 pixels in a frame up to 480 wide. There is little to see
# in so few pixels, so only what scores above SURE is believed.
ENLARGE, ENLARGED, SURE = 4.0, 1920, 0.1


class DlibHog:
    """Near-frontal faces from about 40 pixels (20 in small frames), in tens of milliseconds."""

    name = "hog"

    @cached_property
    def _model(self) -> Any:
        import dlib

        return dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8."""
        image = as_rgb(image)
        scale = min(1.0, LONGEST / max(image.shape[:2]))
        found = self._pass(image, scale)
        if not len(found.boxes):
            found = self._pass(image, 2 * scale)
        largest = min(ENLARGE, ENLARGED / max(image.shape[:2]))
        if not len(found.boxes) and largest > 2:
            found = self._pass(image, largest, SURE)
        return found

    def _pass(self, image: np.ndarray, scale: float, least: float = 0.0) -> FaceBoxes:
        resized = resize(image, scale)
        rectangles, score, _ = self._model.run(resized, 0, least)
        # dlib's right and bottom are the last pixel inside, so all four are pixel centres already.
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return largest_first(map_back(np.array(boxes), resized, image), np.array(score))

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector; its filters are compiled into dlib."""
        import dlib

        return {"name": self.name, "dlib": dlib.__version__, "licence": "BSL-1.0 (dlib)"}
