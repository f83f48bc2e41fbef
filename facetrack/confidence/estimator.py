"""Estimate for placed landmarks how probably each is exact, and how probably it is visible."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from facetrack.confidence.network import CROP_SIZE, PX_PER_UNIT, ConfidenceNetwork
from facetrack.ops.image import shrink_region
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale
from facetrack.runtime.device import choose_device
from facetrack.weights import resolve
from facetrack.weights.state_dict import load_state_dict, read_state_dict

WEIGHTS_PART = "confidence"
"""`Weights.part` of the network's weights."""
_FILE_DESCRIPTION = "a file of landmark confidences"
_BATCH = 32


class PointConfidence(NamedTuple):
    """Probabilities of the landmarks of F faces.

    Attributes:
        accurate: (F, 68) float32, that the landmark is within 5 % of the distance of the outer eye
            corners of its true place.
        visible: (F, 68) float32, that nothing covers its true place.
    """

    accurate: np.ndarray
    visible: np.ndarray


class ConfidenceEstimator:
    """Judge placed landmarks with `network.ConfidenceNetwork`.

    Args:
        weights: "auto", a name of `facetrack.weights`, or the path of a file.
        device: "auto", "cpu", "cuda", ...

    Raises:
        FacetrackError: the file does not exist or holds other weights.
    """

    def __init__(self, weights: str = "auto", device: str = "auto") -> None:
        self.resolved = resolve(WEIGHTS_PART, weights)
        self.device = choose_device(device)
        network, path = ConfidenceNetwork(), self.resolved.path
        load_state_dict(network, read_state_dict(path), path, _FILE_DESCRIPTION)
        self._network = network.eval().to(self.device)
        self._mean = as_complex(network.mean_face.cpu().numpy())

    @torch.inference_mode()
    def estimate(self, image: np.ndarray, xy: np.ndarray) -> PointConfidence:
        """Judge the landmarks of the faces of an image.

        Args:
            image: (H, W, 3) RGB uint8.
            xy: (F, 68, 2) pixels, origin at the centre of the top-left pixel. A face with unknown
                landmarks gets zeros.
        """
        xy = np.asarray(xy, float).reshape(-1, 68, 2)
        result = PointConfidence(*np.zeros((2, len(xy), 68), np.float32))
        known = np.flatnonzero(np.isfinite(xy).all((1, 2)) & (np.ptp(xy, 1).max(1) > 1))
        for start in range(0, len(known), _BATCH):
            faces = known[start : start + _BATCH]
            crops, points = zip(*(self._crop(image, xy[f]) for f in faces), strict=True)
            batch = torch.from_numpy(np.stack(crops)).to(self.device).permute(0, 3, 1, 2) / 255
            places = torch.from_numpy(np.stack(points)).to(self.device)
            probabilities = self._network(batch, places).sigmoid().cpu().numpy()
            result.accurate[faces], result.visible[faces] = np.moveaxis(probabilities, -1, 0)
        return result

    def _crop(self, image: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the upright crop of a face, and its landmarks (68, 2) float32 in the crop."""
        placed = as_complex(xy) + 0.5 + 0.5j  # origin at the corner
        to_crop = fit_rotation_scale(placed, self._mean) or 1e-6
        inside = (placed - placed.mean()) * to_crop + self._mean.mean()
        reach = CROP_SIZE / abs(to_crop)
        size = np.array(image.shape[1::-1])
        centre = as_xy(placed.mean())
        low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
        high = np.clip(np.ceil(centre + reach), low + 1, size).astype(int)
        face, rate = shrink_region(image, low, high, min(1.0, 1.5 * abs(to_crop)))
        # The image position of three corners of the crop.
        edge = np.array([0, CROP_SIZE, CROP_SIZE * 1j])
        there = (edge - self._mean.mean()) / to_crop + placed.mean()
        there_xy = (as_xy(there) - low) * rate - 0.5
        matrix = cv2.getAffineTransform(
            as_xy(edge).astype(np.float32) - np.float32(0.5), there_xy.astype(np.float32)
        )
        crop = cv2.warpAffine(
            face,
            matrix,
            (CROP_SIZE, CROP_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return crop, as_xy(inside).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return the entries for the record."""
        return {"name": WEIGHTS_PART, **self.resolved.describe(), "device": str(self.device)}


def mean_face_in_crop(mean: np.ndarray) -> np.ndarray:
    """Return where the mean face (68, 2), in units around 0, lies in the crop, in pixels."""
    return np.asarray(mean * PX_PER_UNIT + CROP_SIZE / 2)
