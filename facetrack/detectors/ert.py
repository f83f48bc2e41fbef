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

from facetrack.detectors.base import DetectorOptions, Landmarks, usable
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import ResolvedWeights, resolve
from facetrack.weights.dlib_models import model_file, unreadable_error

_FILE = "shape_predictor_68_face_landmarks.dat"

# dlib rounds its points to whole pixels, after trees that compare single pixels. Repeating every
# pixel s x s times (s odd, so that a pixel's centre is the centre of its block) leaves each of
# those comparisons as it was and makes the final rounding s times finer: the same landmarks, to
# 1 / s of a pixel. s is the smallest odd number that makes the box at least SIDE pixels, so the
# step is never above 1 / SIDE of the box, whatever the face's size.
SIDE = 1000
# The trees look a little way outside the box: this many box sides are cut out around it.
MARGIN = 0.75
MARK = b"facetrack"
"""What files that were trained here end in; dlib does not read so far."""
# Displacements of the box, in box sides, whose effect on each point tells how sure it is.
_SHIFTS = 0.03 * np.array([(1, 0), (0, 1)])
# P(error < 5 % of the inter-ocular distance) against that effect (root mean square, in % of the
# box side), fitted on 377 faces of the 300-W training sets: 0.98 at 0.1 %, one half at 1.5 %. The
# model was trained on those sets too, so the probability is optimistic on faces it never saw.
_HALF, _POWER = 1.5, 1.4


@cache
def _predictor() -> Any:
    """The packaged shape predictor, 100 MB, loaded once; calling it changes nothing in it."""
    import dlib

    file = model_file(_FILE)
    try:
        return dlib.shape_predictor(str(file.path))
    except RuntimeError as error:
        raise unreadable_error(file, error) from error


def _read(path: Path) -> Any:
    """The shape predictor of the user's own file."""
    import dlib

    try:
        return dlib.shape_predictor(str(path))
    except (RuntimeError, MemoryError) as error:
        raise FacetrackError(
            f"{path} is not a shape predictor of dlib: a .dat file was expected."
        ) from error


def _marked(path: Path) -> bool:
    """Whether a shape predictor was trained here."""
    with path.open("rb") as file:
        file.seek(-len(MARK), os.SEEK_END)
        return file.read() == MARK


class Ert:
    """dlib's landmarks at sub-pixel resolution, in about ten milliseconds a face on a CPU.

    The score is an estimate of the probability that a point is within 5 % of the inter-ocular
    distance of where an annotator would put it, from how much it moves when the box does.
    """

    name = "ert"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `weights` "auto" takes the packaged 68-point model, which is loaded when
                first used; else a name, or a shape predictor (.dat) that dlib has trained on
                boxes of its HOG detector. Weights trained here look again in the box that their
                first landmarks imply, at the picture and at its mirror image, and answer with
                the mean of both; dlib's get worse by it. There is nothing to run on another
                device.

        Raises:
            FacetrackError: there is no such file, or dlib cannot read it.
        """
        self.scheme = "68"
        self._found: ResolvedWeights | None = None
        self._own: Any = None
        self._again = False
        chosen = (options or DetectorOptions()).weights
        if chosen != "auto":
            self._found = resolve("ert", chosen)
            self._own = _read(self._found.path)
            plain, box = np.zeros((9, 9), np.uint8), np.array([0.0, 0.0, 8.0, 8.0])
            count = len(_Crop(plain, box).landmarks(self._own, box))
            self.scheme = schemes.for_count(count).name
            self._again = _marked(self._found.path)

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Place the landmarks in each of `boxes` (F, 4) of `image` (H, W, 3) or (H, W) uint8.

        The boxes must be in the style of dlib's HOG detector, as `facetrack.face_detectors` gives them.
        A box outside the image, or one without any extent, gets NaN and score 0.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        count = schemes.get(self.scheme).count
        xy = np.full((len(boxes), count, 2), np.nan, np.float32)
        score = np.zeros((len(boxes), count), np.float32)
        for face, box in enumerate(boxes):
            if usable(box, image):
                xy[face], score[face] = self._place(image, box)
        return Landmarks(xy, score)

    def _place(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictor = self._own or _predictor()
        crop = _Crop(image, box)
        if self._again:
            from facetrack.detectors.crops import second_boxes

            first = crop.landmarks(predictor, box)
            again = second_boxes(first[None], box[None])[0]
            if usable(again, image):
                crop = _Crop(image, again)
                swap = list(schemes.get(self.scheme).swap)
                straight = crop.scored(predictor, again)
                turned = [v[swap] for v in crop.mirrored().scored(predictor, again)]
                xy, score = ((a + b) / 2 for a, b in zip(straight, turned, strict=True))
                return xy, score
        return crop.scored(predictor, box)

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """`detect` in each of several images, with the boxes (F, 4) of each."""
        return [self.detect(image, some) for image, some in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights, licence, paper."""
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
    """(H, W) uint8, the mean of the channels rounded down, as dlib reads an RGB image."""
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    # Channel by channel: many times faster than a sum along the last axis.
    total = image[..., 0].astype(np.uint16) + image[..., 1] + image[..., 2]
    return (total // 3).astype(np.uint8)


class _Crop:
    """The surroundings of a box (4,) of an image, grey and enlarged until the box has SIDE pixels.

    Mirrored, a predictor sees them flipped left to right: its landmarks are in their places in the
    image, but the left eye's are counted as the right one's.
    """

    def __init__(self, image: np.ndarray, box: np.ndarray) -> None:
        height, width = image.shape[:2]
        side = float(max(box[2] - box[0], box[3] - box[1]))
        low = np.clip(np.floor(box[:2] - MARGIN * side), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(box[2:] + MARGIN * side) + 1, 1, (width, height)).astype(int)
        grey = _grey(image[low[1] : high[1], low[0] : high[0]])
        self._origin = low
        self._across = 2 * low[0] + grey.shape[1] - 1  # x and its mirror image add up to this
        self._repeat = 2 * math.ceil(max(SIDE / side - 1, 0) / 2) + 1
        self._picture = grey.repeat(self._repeat, axis=1).repeat(self._repeat, axis=0)
        self._flipped = False

    def mirrored(self) -> _Crop:
        """The same, seen in a mirror."""
        other = copy.copy(self)
        other._picture = np.ascontiguousarray(self._picture[:, ::-1])
        other._flipped = not self._flipped
        return other

    def landmarks(self, predictor: Any, box: np.ndarray) -> np.ndarray:
        """(N, 2) landmarks of the face in `box` (4,), both in the image."""
        import dlib

        if self._flipped:
            box = np.array([self._across - box[2], box[1], self._across - box[0], box[3]])
        # A pixel's centre in the image is at the centre of its block of pixels in the crop.
        centre = (self._repeat - 1) / 2
        corners = (box.reshape(2, 2) - self._origin) * self._repeat + centre
        corners = np.floor(corners + 0.5).astype(int)
        shape = predictor(self._picture, dlib.rectangle(*corners.ravel().tolist()))
        points = np.array([(p.x, p.y) for p in shape.parts()], float)
        xy = (points - centre) / self._repeat + self._origin
        if self._flipped:
            xy[:, 0] = self._across - xy[:, 0]
        return np.asarray(xy)

    def scored(self, predictor: Any, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The landmarks (N, 2), and their scores (N,) from how far they move with the box."""
        xy = self.landmarks(predictor, box)
        extent = box[2:] - box[:2]
        # To the right as it is seen: a mirrored image then has the same scores.
        steps = _SHIFTS * extent * (-1 if self._flipped else 1, 1)
        moved = [self.landmarks(predictor, box + np.tile(step, 2)) for step in steps]
        spread = np.sqrt(np.stack([xy, *moved]).var(axis=0).sum(axis=-1)) / extent.max() * 100
        return xy, 1 / (1 + (spread / _HALF) ** _POWER)
