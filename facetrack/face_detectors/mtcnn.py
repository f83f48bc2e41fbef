"""MTCNN: a cascade of three small networks that predicts a box and five landmarks per face.

Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 2016. The weights were converted from those of the package `mtcnn`
(weights/mtcnn.md). `facetrack train face-detector` trains others.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facetrack.face_detectors.base import (
    FaceBoxes,
    FivePointFaces,
    hog_from_five,
    largest_first,
    non_maximum_suppression,
    resize,
)
from facetrack.ops.image import as_rgb

if TYPE_CHECKING:
    from torch import Tensor

    from facetrack.face_detectors.mtcnn_network import Networks
    from facetrack.weights import ResolvedWeights

CELL_PX, STRIDE_PX = 12, 2
"""Side of the faces that P-Net detects, and the distance of its cells, in pixels of a level."""
PYRAMID_STEP = 0.709
"""Ratio of the scales of successive pyramid levels."""
MIN_FACE_PX = 20
"""Side of the smallest detected face. It is larger if the first level would exceed
`MAX_LEVEL_PIXELS`: 20 in frames up to 1280 x 720, 30 in 1920 x 1080, 60 in 3840 x 2160."""
MAX_LEVEL_PIXELS = 332_000
"""Maximum number of pixels of the first pyramid level."""
MIN_SCORES = (0.6, 0.7, 0.8)
"""Minimum face probability after P-Net, R-Net and O-Net, as in the package."""
MAX_CANDIDATES = (1000, 500, 200)
"""Maximum number of boxes kept from a pyramid level, from P-Net and from R-Net. They bound the work
in noise and crowds."""

# From the five landmarks to dlib's HOG box: medians over 292 annotated faces that both detectors
# found, measured by benchmarks/calibration/face_boxes.py. ERT's landmarks from the two boxes are
# then 0.93 % of the inter-ocular distance apart (median, held out; mean 1.5). A rule from MTCNN's
# box gives 0.98 (mean 3.0), because the width of the box is unsteady.
DOWN, SCALE = 0.49, 3.69


class Mtcnn:
    """Detects faces up to about half-profile, from 20 pixels in small frames.

    It takes tens of milliseconds per image.

    Args:
        weights: "auto", a name or a file, as `facetrack.weights.resolve` takes them.

    Raises:
        FacetrackError: there are no such weights.
    """

    name = "mtcnn"

    def __init__(self, weights: str = "auto") -> None:
        self._weights = weights
        if weights != "auto":
            _ = self._found  # a wrong name is said at once

    @classmethod
    def of(cls, networks: Networks) -> Mtcnn:
        """Create a detector with given networks, for training."""
        made = cls()
        made.__dict__["_networks"] = networks
        return made

    @cached_property
    def _found(self) -> ResolvedWeights:
        from facetrack.weights import resolve

        return resolve("mtcnn", self._weights)

    @cached_property
    def _networks(self) -> Networks:
        from facetrack.face_detectors.mtcnn_network import load

        return load(self._found.path)

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the weights are missing or damaged.
        """
        raw = self.detect_raw(image)
        return largest_first(hog_from_five(raw.points, DOWN, SCALE), raw.score)

    def detect_raw(self, image: np.ndarray) -> FivePointFaces:
        """Detect faces with the cascade's own boxes and landmarks, not in the HOG style."""
        image = as_rgb(image)
        boxes = self.candidates(image, networks=2)
        if not len(boxes):
            return FivePointFaces(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0))
        offsets, flat, probability = _run_on_patches(
            self._networks.output, patches(image, boxes, 48)
        )
        corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = corner + flat.reshape(-1, 2, 5).transpose(0, 2, 1) * size
        boxes, score, confident = _refine(boxes, offsets, probability[:, 1], MIN_SCORES[2])
        # A face inside another face's box is usually the same face, found twice.
        keep = non_maximum_suppression(boxes, score, 0.7, of="smaller")
        return FivePointFaces(boxes[keep] - 0.5, points[confident][keep] - 0.5, score[keep])

    def candidates(self, image: np.ndarray, networks: int) -> np.ndarray:
        """Return what P-Net, or P-Net and R-Net, take for faces: the next network's input.

        Args:
            image: (H, W, 3) RGB uint8.
            networks: 1 or 2.

        Returns:
            Square boxes (K, 4), with coordinates at pixel edges.
        """
        boxes = self._propose(image)
        if networks > 1 and len(boxes):
            offsets, probability = _run_on_patches(
                self._networks.refinement, patches(image, boxes, 24)
            )
            boxes, score, _ = _refine(boxes, offsets, probability[:, 1], MIN_SCORES[1])
            keep = non_maximum_suppression(boxes, score, 0.7)[: MAX_CANDIDATES[2]]
            boxes = squared(boxes[keep])
        return boxes

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Propose square boxes (K, 4) with P-Net, with coordinates at pixel edges."""
        all_boxes, all_scores = [np.empty((0, 4))], [np.empty(0)]
        scales = pyramid(image.shape[0], image.shape[1])
        # Compute the levels from the largest level, because the frame may be far larger.
        largest = resize(image, scales[0]) if scales else image
        for scale in scales:
            level = resize(largest, scale / scales[0])
            offsets, probability = _run(self._networks.proposal, level)
            row, column = np.nonzero(probability[0, 1] > MIN_SCORES[0])
            score = probability[0, 1, row, column]
            corner = STRIDE_PX * np.column_stack([column, row, column, row])
            cell = corner + CELL_PX * (np.array([0, 0, 1, 1]) + offsets[0][:, row, column].T)
            best = np.argsort(-score, kind="stable")[: MAX_CANDIDATES[0]]
            keep = best[non_maximum_suppression(cell[best], score[best], 0.5)]
            ratio = np.array(image.shape[1::-1]) / np.array(level.shape[1::-1])
            all_boxes.append(cell[keep] * np.tile(ratio, 2))
            all_scores.append(score[keep])
        boxes, score = np.concatenate(all_boxes), np.concatenate(all_scores)
        return squared(boxes[non_maximum_suppression(boxes, score, 0.7)[: MAX_CANDIDATES[1]]])

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: its weights, their licence, the paper."""
        return {"name": self.name, **self._found.describe()}


def pyramid(height: int, width: int) -> list[float]:
    """Return the scales of P-Net's input images, largest first; each has room for a cell."""
    scale = min(CELL_PX / MIN_FACE_PX, math.sqrt(MAX_LEVEL_PIXELS / (height * width)))
    scales = []
    while round(scale * min(height, width)) >= CELL_PX:
        scales.append(scale)
        scale *= PYRAMID_STEP
    return scales


def squared(boxes: np.ndarray) -> np.ndarray:
    """Enlarge boxes (F, 4) about their centres to squares."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def patches(image: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """Cut square boxes (F, 4) out of an image and resize them, mid-grey outside the image.

    Large boxes are cut out of a downsampled copy of the image. Sampling single pixels of the full
    image would turn fine texture into noise.

    Returns:
        (F, side, side, 3) uint8.
    """
    copies = [image]
    out = np.empty((len(boxes), side, side, 3), np.uint8)
    for i, box in enumerate(boxes):
        step = max(float(box[2] - box[0]), 1e-3) / side
        halvings = max(0, round(math.log2(step)))
        while len(copies) <= halvings and min(copies[-1].shape[:2]) > 1:
            copies.append(resize(copies[-1], 0.5))
        copy = copies[min(halvings, len(copies) - 1)]
        sx, sy = np.array(copy.shape[1::-1]) / np.array(image.shape[1::-1])
        # Maps pixel centres of the patch to pixel centres of the copy.
        matrix = np.array(
            [
                [step * sx, 0, (box[0] + step / 2) * sx - 0.5],
                [0, step * sy, (box[1] + step / 2) * sy - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out[i] = cv2.warpAffine(
            copy, matrix, (side, side), flags=flags, borderValue=(128.0, 128.0, 128.0)
        )
    return out


def _run(network: Any, image: np.ndarray) -> list[np.ndarray]:
    """Run a network on an image (H, W, 3) uint8 and return its outputs as arrays (1, ...)."""
    import torch

    with torch.inference_mode():
        return [y.numpy() for y in network(_input(image[None]))]


def _run_on_patches(network: Any, patches: np.ndarray) -> list[np.ndarray]:
    """Run a network on M patches (M, H, W, 3) uint8 and return its outputs as arrays (M, ...)."""
    import torch

    from facetrack.runtime.batches import run_in_batches

    with torch.inference_mode():
        return [y.numpy() for y in run_in_batches(network, _input(patches))]


def _input(images: np.ndarray) -> Tensor:
    """Convert images (M, H, W, 3) uint8 to the input of a network."""
    import torch

    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128


def _refine(
    boxes: np.ndarray, offsets: np.ndarray, score: np.ndarray, min_score: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep boxes with a score above `min_score` and apply their offsets.

    Args:
        boxes: (F, 4).
        offsets: (F, 4) in sides of the box.
        score: (F,).
        min_score: see above.

    Returns:
        The moved boxes (K, 4), their scores (K,) and their indices (K,).
    """
    confident = np.flatnonzero(score > min_score)
    size = boxes[confident, 2:] - boxes[confident, :2]
    return (
        boxes[confident] + offsets[confident] * np.tile(size, (1, 2)),
        score[confident],
        confident,
    )
