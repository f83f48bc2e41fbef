"""ERT: an ensemble of regression trees, dlib's 68-point shape predictor."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from facetrack.detectors.base import Landmarks
from facetrack.packaged import model_file, unreadable

POINTS = 68
_FILE = "shape_predictor_68_face_landmarks.dat"

# dlib rounds its points to whole pixels, after trees that compare single pixels. Repeating every
# pixel s x s times (s odd, so that a pixel's centre is the centre of its block) leaves each of
# those comparisons as it was and makes the final rounding s times finer: the same landmarks, to
# 1 / s of a pixel. s is the smallest odd number that makes the box at least SIDE pixels, so the
# step is never above 1 / SIDE of the box, whatever the face's size.
SIDE = 1000
# The trees look a little way outside the box: this many box sides are cut out around it.
MARGIN = 0.75
# Displacements of the box, in box sides, whose effect on each point tells how sure it is.
_SHIFTS = 0.03 * np.array([(1, 0), (0, 1)])
# P(error < 5 % of the inter-ocular distance) against that effect (root mean square, in % of the
# box side), fitted on 377 faces of the 300-W training sets: 0.98 at 0.1 %, one half at 1.5 %. The
# model was trained on those sets too, so the probability is optimistic on faces it never saw.
_HALF, _POWER = 1.5, 1.4


@cache
def _predictor() -> Any:
    """The shape predictor, 100 MB, loaded once; calling it changes nothing in it."""
    import dlib

    file = model_file(_FILE)
    try:
        return dlib.shape_predictor(str(file.path))
    except RuntimeError as error:
        raise unreadable(file, error) from error


class Ert:
    """dlib's 68 points at sub-pixel resolution, in about ten milliseconds a face on a CPU.

    The score is an estimate of the probability that a point is within 5 % of the inter-ocular
    distance of where an annotator would put it, from how much it moves when the box does.
    """

    name = "ert"
    scheme = "68"

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Place 68 landmarks in each of `boxes` (F, 4) of `image` (H, W, 3) or (H, W) uint8.

        The boxes must be in the style of dlib's HOG detector, as `facetrack.faces` gives them.
        A box outside the image, or one without any extent, gets NaN and score 0.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        xy = np.full((len(boxes), POINTS, 2), np.nan, np.float32)
        score = np.zeros((len(boxes), POINTS), np.float32)
        for face, box in enumerate(boxes):
            if _usable(box, image):
                xy[face], score[face] = _place(image, box)
        return Landmarks(xy, score)

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights, licence, paper."""
        import dlib

        return {
            "name": self.name,
            "scheme": self.scheme,
            "dlib": dlib.__version__,
            **model_file(_FILE).describe(),
            "paper": (
                "Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of "
                "Regression Trees, CVPR 2014"
            ),
        }


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8, the mean of the channels rounded down, as dlib reads an RGB image."""
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    # Channel by channel: many times faster than a sum along the last axis.
    total = image[..., 0].astype(np.uint16) + image[..., 1] + image[..., 2]
    return (total // 3).astype(np.uint8)


def _usable(box: np.ndarray, image: np.ndarray) -> bool:
    """Whether `box` has an extent and touches the image."""
    if not np.isfinite(box).all():
        return False
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    overlaps = x0 < width and y0 < height and x1 >= 0 and y1 >= 0
    return bool(overlaps and x1 - x0 >= 1 and y1 - y0 >= 1)


def _place(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(68, 2) landmarks and (68,) scores of the face in `box` (4,)."""
    height, width = image.shape[:2]
    side = float(max(box[2] - box[0], box[3] - box[1]))
    origin = np.clip(np.floor(box[:2] - MARGIN * side), 0, (width - 1, height - 1)).astype(int)
    end = np.clip(np.ceil(box[2:] + MARGIN * side) + 1, 1, (width, height)).astype(int)
    crop = _grey(image[origin[1] : end[1], origin[0] : end[0]])
    repeat = 2 * math.ceil(max(SIDE / side - 1, 0) / 2) + 1
    crop = crop.repeat(repeat, axis=1).repeat(repeat, axis=0)

    xy = _predict(crop, box, origin, repeat)
    extent = np.array([box[2] - box[0], box[3] - box[1]])
    moved = [_predict(crop, box + np.tile(d * extent, 2), origin, repeat) for d in _SHIFTS]
    spread = np.sqrt(np.stack([xy, *moved]).var(axis=0).sum(axis=-1)) / side * 100
    return xy, 1 / (1 + (spread / _HALF) ** _POWER)


def _predict(crop: np.ndarray, box: np.ndarray, origin: np.ndarray, repeat: int) -> np.ndarray:
    """(68, 2) landmarks in the image, of `box` in the image, seen in the enlarged `crop`."""
    import dlib

    # A pixel's centre in the image is at the centre of its block of `repeat` pixels in the crop.
    centre = (repeat - 1) / 2
    corners = np.floor((box.reshape(2, 2) - origin) * repeat + centre + 0.5).astype(int)
    shape = _predictor()(crop, dlib.rectangle(*corners.ravel().tolist()))
    points = np.array([(p.x, p.y) for p in shape.parts()], float)
    return (points - centre) / repeat + origin
