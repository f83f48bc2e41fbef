"""ERT: an ensemble of regression trees, dlib's shape predictors."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.detectors.base import DetectorOptions, Landmarks, is_usable_box
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import ResolvedWeights, resolve
from facetrack.weights.dlib_models import model_file, unreadable_error

_FILE = "shape_predictor_68_face_landmarks.dat"

# dlib's trees compare single pixels, and dlib then rounds the points to whole pixels. Repeating
# every pixel s x s times (s odd, so that a pixel's centre is the centre of its block) changes none
# of the comparisons and makes the rounding s times finer: the same landmarks, to 1 / s of a pixel.
# s is the smallest odd number that makes the box at least MIN_BOX_PX wide, so the rounding step is
# at most 1 / MIN_BOX_PX of the box for any size of face.
MIN_BOX_PX = 1000
MARGIN = 0.75
"""Box sides around the box that are cut out: the trees read pixels a little outside the box."""
MARK = b"facetrack"
"""Last bytes of the model files that were trained here. dlib does not read that far."""
_SHIFTS = 0.03 * np.array([(1, 0), (0, 1)])
"""Displacements of the box, in box sides. The movement of a point under them gives its score."""
# P(error < 5 % of the inter-ocular distance) as a function of that movement (root mean square, in %
# of the box side), fitted on 377 faces of the 300-W training sets: 0.98 at 0.1 %, one half at
# 1.5 %. The model was trained on those sets too, so the probability is optimistic on new faces.
_HALF, _POWER = 1.5, 1.4


@cache
def _predictor() -> Any:
    """Load the packaged shape predictor (100 MB) once. Calling it does not change it."""
    import dlib

    file = model_file(_FILE)
    try:
        return dlib.shape_predictor(str(file.path))
    except RuntimeError as error:
        raise unreadable_error(file, error) from error


def _read(path: Path) -> Any:
    """Load a shape predictor from the user's own file."""
    import dlib

    try:
        return dlib.shape_predictor(str(path))
    except (RuntimeError, MemoryError) as error:
        raise FacetrackError(
            f"{path} is not a shape predictor of dlib: a .dat file was expected."
        ) from error


def _is_trained_here(path: Path) -> bool:
    """Return True if a shape predictor was trained here."""
    with path.open("rb") as file:
        file.seek(-len(MARK), os.SEEK_END)
        return file.read() == MARK


class Ert:
    """dlib's landmarks at sub-pixel resolution, in about ten milliseconds per face on a CPU.

    The score estimates the probability that a point lies within 5 % of the inter-ocular distance of
    an annotator's point. It is derived from the point's movement when the box is shifted.

    Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees, CVPR
    2014.
    """

    name = "ert"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: only `weights` applies: "auto" for the packaged 68-point model, which is loaded
                at its first use, a name, or a shape predictor (.dat) trained by dlib on boxes of
                its HOG detector. Weights trained here run a second time in the box that the first
                landmarks imply, on the image and on its mirror image, and the result is the mean of
                these two. dlib's own weights get worse by it.

        Raises:
            FacetrackError: the file does not exist, or dlib cannot read it.
        """
        self.scheme = "68"
        self._found: ResolvedWeights | None = None
        self._own: Any = None
        self._uses_second_view = False
        chosen = (options or DetectorOptions()).weights
        if chosen != "auto":
            self._found = resolve("ert", chosen)
            self._own = _read(self._found.path)
            blank, box = np.zeros((9, 9), np.uint8), np.array([0.0, 0.0, 8.0, 8.0])
            count = len(_Crop(blank, box).landmarks(self._own, box))
            self.scheme = schemes.for_count(count).name
            self._uses_second_view = _is_trained_here(self._found.path)

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect the landmarks of the faces in `boxes`.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8.
            boxes: (F, 4) x0 y0 x1 y1 (pixel centres) in the style of dlib's HOG detector, as
                returned by `facetrack.face_detectors`.

        Returns:
            Landmarks of F faces. An empty box or a box outside the image gets NaN and score 0.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        count = schemes.get(self.scheme).count
        xy = np.full((len(boxes), count, 2), np.nan, np.float32)
        score = np.zeros((len(boxes), count), np.float32)
        for face, box in enumerate(boxes):
            if is_usable_box(box, image):
                xy[face], score[face] = self._predict(image, box)
        return Landmarks(xy, score)

    def _predict(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictor = self._own or _predictor()
        crop = _Crop(image, box)
        if self._uses_second_view:
            from facetrack.detectors.crops import second_boxes

            first = crop.landmarks(predictor, box)
            implied = second_boxes(first[None], box[None])[0]
            if is_usable_box(implied, image):
                crop = _Crop(image, implied)
                swap = list(schemes.get(self.scheme).swap)
                plain = crop.scored(predictor, implied)
                mirrored = [v[swap] for v in crop.mirrored().scored(predictor, implied)]
                xy, score = ((a + b) / 2 for a, b in zip(plain, mirrored, strict=True))
                return xy, score
        return crop.scored(predictor, box)

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks in several images, given the boxes (F, 4) of each image."""
        return [self.detect(*pair) for pair in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: weights, licence, paper."""
        import dlib

        return {
            "name": self.name,
            "scheme": self.scheme,
            "dlib": dlib.__version__,
            "paper": (
                "Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of "
                "Regression Trees, CVPR 2014"
            ),
            **(self._found or model_file(_FILE)).describe(),
        }


def _grey(image: np.ndarray) -> np.ndarray:
    """Convert an image to grey (H, W) uint8: the mean of the channels, rounded down as in dlib."""
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    # Channel by channel: many times faster than a sum along the last axis.
    total = image[..., 0].astype(np.uint16) + image[..., 1] + image[..., 2]
    return (total // 3).astype(np.uint8)


class _Crop:
    """The surroundings of a box (4,) in an image, grey and enlarged to MIN_BOX_PX or more.

    If mirrored, the predictor sees them flipped left to right. The landmarks are still returned in
    image coordinates, but those of the left eye have the numbers of the right eye.
    """

    def __init__(self, image: np.ndarray, box: np.ndarray) -> None:
        height, width = image.shape[:2]
        side = float(max(box[2] - box[0], box[3] - box[1]))
        low = np.clip(np.floor(box[:2] - MARGIN * side), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(box[2:] + MARGIN * side) + 1, 1, (width, height)).astype(int)
        grey = _grey(image[low[1] : high[1], low[0] : high[0]])
        self._origin = low
        self._mirror_sum = 2 * low[0] + grey.shape[1] - 1  # the sum of x and its mirror image
        self._repeat = 2 * math.ceil(max(MIN_BOX_PX / side - 1, 0) / 2) + 1
        self._grey = grey.repeat(self._repeat, axis=1).repeat(self._repeat, axis=0)
        self._flipped = False

    def mirrored(self) -> _Crop:
        """Return the mirrored crop."""
        crop = copy.copy(self)
        crop._grey = np.ascontiguousarray(self._grey[:, ::-1])
        crop._flipped = not self._flipped
        return crop

    def landmarks(self, predictor: Any, box: np.ndarray) -> np.ndarray:
        """Predict the landmarks (N, 2) of the face in `box` (4,), both in image pixels."""
        import dlib

        if self._flipped:
            box = np.array([self._mirror_sum - box[2], box[1], self._mirror_sum - box[0], box[3]])
        # A pixel's centre in the image is at the centre of its block of pixels in the crop.
        centre = (self._repeat - 1) / 2
        corners = (box.reshape(2, 2) - self._origin) * self._repeat + centre
        corners = np.floor(corners + 0.5).astype(int)
        shape = predictor(self._grey, dlib.rectangle(*corners.ravel().tolist()))
        points = np.array([(p.x, p.y) for p in shape.parts()], float)
        xy = (points - centre) / self._repeat + self._origin
        if self._flipped:
            xy[:, 0] = self._mirror_sum - xy[:, 0]
        return np.asarray(xy)

    def scored(self, predictor: Any, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict landmarks (N, 2), and scores (N,) from their movement when the box is shifted."""
        xy = self.landmarks(predictor, box)
        extent = box[2:] - box[:2]
        # Shift to the right as the predictor sees it, so that a mirrored image gets equal scores.
        steps = _SHIFTS * extent * (-1 if self._flipped else 1, 1)
        moved = [self.landmarks(predictor, box + np.tile(step, 2)) for step in steps]
        spread = np.sqrt(np.stack([xy, *moved]).var(axis=0).sum(axis=-1)) / extent.max() * 100
        return xy, 1 / (1 + (spread / _HALF) ** _POWER)
