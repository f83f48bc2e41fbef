"""MTCNN: a cascade of three small networks that ends with a box and five landmarks.

Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 2016. The weights are those of the package `mtcnn`.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import (
    FaceBoxes,
    FivePointFaces,
    hog_from_five,
    keep_best,
    largest_first,
    resize,
)
from facetrack.ops.image import as_rgb
from facetrack.weights.dlib_models import ModelFile

PACKAGE = "mtcnn"
INSTALL = f"pip install --force-reinstall {PACKAGE}"
FILES = ("pnet.lz4", "rnet.lz4", "onet.lz4")
LICENCE = "MIT (ipazc/mtcnn)"
PAPER = "Zhang et al., IEEE Signal Processing Letters 2016 (arXiv 1604.02878)"
# P-Net sees faces of CELL pixels in a picture that shrinks by STEP from level to level. The first
# level shows faces of SMALLEST pixels, or larger ones where it would have more than PIXELS: of 20
# in a frame up to 1280 x 720, 30 in 1920 x 1080, 60 in 3840 x 2160.
CELL, STRIDE, STEP = 12, 2, 0.709
SMALLEST, PIXELS = 20, 332_000
# What each network must be sure of: the package's figures.
SURE = (0.6, 0.7, 0.8)
# Most boxes that go on from a level of the pyramid, from P-Net and from R-Net, so that noise and
# crowds cannot make the work grow.
MOST = (1000, 500, 200)

# From the five landmarks to dlib's HOG box: medians over 292 annotated faces that both detectors
# found, by benchmarks/calibration/face_boxes.py. ERT's landmarks from the two boxes are then 0.93 % of the
# inter-ocular distance apart (median, held out; mean 1.5). A rule from MTCNN's box gives 0.98
# (mean 3.0): its width is unsteady.
DOWN, SCALE = 0.49, 3.69


class Mtcnn:
    """Faces from 20 pixels in small frames, up to about half-profile, in tens of milliseconds."""

    name = "mtcnn"

    @cached_property
    def _networks(self) -> Any:
        from facetrack.face_detectors.mtcnn_network import load

        paths = [file.path for file in files()]
        try:
            return load(paths)
        except Exception as error:
            # Damaged files make the readers fail in any of a dozen ways.
            raise FacetrackError(
                f"MTCNN's weights in {paths[0].parent} cannot be read ({error}); run: {INSTALL}"
            ) from error

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the package `mtcnn` is missing or damaged.
        """
        found = self.detect_raw(image)
        return largest_first(hog_from_five(found.points, DOWN, SCALE), found.score)

    def detect_raw(self, image: np.ndarray) -> FivePointFaces:
        """The cascade's own boxes and landmarks, before they are brought to the HOG style."""
        image = as_rgb(image)
        networks = self._networks
        boxes = self._propose(image)
        if len(boxes):
            offsets, chance = _run(networks.refinement, patches(image, boxes, 24))
            boxes, score, _ = _refine(boxes, offsets, chance[:, 1], SURE[1])
            keep = keep_best(boxes, score, 0.7)[: MOST[2]]
            boxes = squared(boxes[keep])
        if not len(boxes):
            return FivePointFaces(np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0))
        offsets, flat, chance = _run(networks.output, patches(image, boxes, 48))
        corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = corner + flat.reshape(-1, 2, 5).transpose(0, 2, 1) * size
        boxes, score, sure = _refine(boxes, offsets, chance[:, 1], SURE[2])
        # One face inside another's box is more often the same face twice.
        keep = keep_best(boxes, score, 0.7, of="smaller")
        return FivePointFaces(boxes[keep] - 0.5, points[sure][keep] - 0.5, score[keep])

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Square boxes (K, 4) that P-Net takes for faces, pixel edges."""
        every, every_score = [np.empty((0, 4))], [np.empty(0)]
        scales = pyramid(image.shape[0], image.shape[1])
        # The levels are made of the largest one: a frame may be far larger.
        largest = resize(image, scales[0]) if scales else image
        for scale in scales:
            level = resize(largest, scale / scales[0])
            offsets, chance = _run(self._networks.proposal, level[None])
            row, column = np.nonzero(chance[0, 1] > SURE[0])
            score = chance[0, 1, row, column]
            corner = STRIDE * np.column_stack([column, row, column, row])
            cell = corner + CELL * (np.array([0, 0, 1, 1]) + offsets[0][:, row, column].T)
            best = np.argsort(-score, kind="stable")[: MOST[0]]
            keep = best[keep_best(cell[best], score[best], 0.5)]
            ratio = np.array(image.shape[1::-1]) / np.array(level.shape[1::-1])
            every.append(cell[keep] * np.tile(ratio, 2))
            every_score.append(score[keep])
        boxes, score = np.concatenate(every), np.concatenate(every_score)
        return squared(boxes[keep_best(boxes, score, 0.7)[: MOST[1]]])

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: its weights, their licence, the paper."""
        return {"name": self.name, "files": [f.describe() for f in files()], "paper": PAPER}


def files() -> list[ModelFile]:
    """The weights of P-Net, R-Net and O-Net in the installed package.

    The package is located, never imported: its `__init__` needs TensorFlow.

    Raises:
        FacetrackError: the package or a file is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        paths = [Path(folder) / "assets" / "weights" / name for name in FILES]
        if all(path.is_file() for path in paths):
            return [ModelFile(path.name, path, LICENCE) for path in paths]
    raise FacetrackError(f"The face detector mtcnn needs the package {PACKAGE}; run: {INSTALL}")


def pyramid(height: int, width: int) -> list[float]:
    """Scales of the pictures that P-Net looks at, largest first; each has room for a cell."""
    scale = min(CELL / SMALLEST, math.sqrt(PIXELS / (height * width)))
    scales = []
    while round(scale * min(height, width)) >= CELL:
        scales.append(scale)
        scale *= STEP
    return scales


def squared(boxes: np.ndarray) -> np.ndarray:
    """The boxes (F, 4) grown about their centres to squares."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def patches(image: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """(F, side, side, 3) uint8 pictures of the square `boxes` (F, 4); mid-grey outside `image`.

    A large box is taken from a shrunken copy of the image: picking single pixels of the full one
    would turn fine texture into noise.
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
        # From pixel centres of the patch to pixel centres of the copy.
        matrix = np.array(
            [
                [step * sx, 0, (box[0] + step / 2) * sx - 0.5],
                [0, step * sy, (box[1] + step / 2) * sy - 0.5],
            ]
        )
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out[i] = cv2.warpAffine(
            copy, matrix, (side, side), flags=how, borderValue=(128.0, 128.0, 128.0)
        )
    return out


def _run(network: Any, images: np.ndarray) -> list[np.ndarray]:
    """`network` on (M, H, W, 3) uint8; its outputs as arrays."""
    import torch

    with torch.inference_mode():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        return [y.numpy() for y in network((x - 127.5) / 128)]


def _refine(
    boxes: np.ndarray, offsets: np.ndarray, score: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the boxes (F, 4), those above `least`, moved; their scores; their indices."""
    sure = np.flatnonzero(score > least)
    size = boxes[sure, 2:] - boxes[sure, :2]
    return boxes[sure] + offsets[sure] * np.tile(size, (1, 2)), score[sure], sure
