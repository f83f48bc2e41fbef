"""FAN: the face alignment network, stacked hourglasses that draw one heat map a landmark.

Bulat and Tzimiropoulos, How far are we from solving the 2D & 3D Face Alignment problem?, ICCV 2017
(arXiv 1703.07332). The network is the face-alignment package's; cropping and decoding are ours.
Official 2D checkpoints load as they are, with any number of stacks: 68 points (300-W).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from face_alignment.models import FAN
from torch import Tensor

from facetrack.detectors import crops as square
from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, Placement, relative_box
from facetrack.detectors.neural import NeuralDetector
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import resolve, state_dict

WHAT = "a checkpoint of the 2D FAN with 68 points"

# Upstream's rule from a face box to the crop: its centre moves up by UP of the box's height, its
# side is SIDE of the box's width and height together.
UP = 0.12
SIDE = 200 / 195
# A picture that takes up less of its crop than this shows no face.
LARGEST = 3
CELL = 4
"""Pixels of the crop in a cell of the maps, right and down."""


def stacks_of(state: Mapping[str, Tensor], path: Path) -> int:
    """The number of hourglasses of the FAN in a state_dict.

    Raises:
        FacetrackError: it has none.
    """
    numbers = {int(m[1]) for name in state if (m := re.match(r"m(\d+)\.b1_4\.", name))}
    if not numbers:
        raise FacetrackError(f"{path} is not {WHAT}: it has no hourglass m0.")
    return 1 + max(numbers)


def vertex(before: Tensor, here: Tensor, after: Tensor) -> Tensor:
    """Where a Gaussian through three cells peaks, from -0.5 to 0.5 cells from the middle one, which
    must be the highest."""
    a, b, c = (v.clamp_min(1e-3).log() for v in (before, here, after))
    return ((a - c) / (2 * (a - 2 * b + c)).clamp_max(-1e-6)).clamp(-0.5, 0.5)


class Fan(NeuralDetector):
    """68 points from the heat maps of one to four hourglasses, to a quarter of a cell (1 / 256 of
    the crop).

    Upstream truncates points to whole pixels; here they keep their fractions and are otherwise the
    same numbers. The score is the height of the map's peak, cut off at 0 and 1: the network
    learned to draw peaks of height 1. It is not a calibrated probability.
    """

    name = "fan"
    paper = "Bulat and Tzimiropoulos, How far are we from solving ..., ICCV 2017 (arXiv 1703.07332)"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` adds the maps of the mirrored crop, mirrored back, as upstream does
                unless told otherwise; it takes twice the time.

        Raises:
            FacetrackError: there are no weights, or they are not a FAN's.
        """
        options = options or DetectorOptions()
        found = resolve("fan", options.weights)
        state, metadata = state_dict.read_weights(found.path)
        self._stacks = stacks_of(state, found.path)
        network = FAN(self._stacks)
        state_dict.load_state_dict(network, state, found.path, WHAT)
        rule = square.CropRule.read(metadata, found.path)
        super().__init__(network, "68", options, found, rule)
        self._flip = options.flip
        self._swap = torch.tensor(schemes.get("68").swap)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """The tight box around the 68 landmarks, from the one of dlib's HOG detector.

        Published: the authors' own evaluation crops by this rule from the box around the annotated
        landmarks (their Torch 7 code, utils.lua). Measured: where that box lies in the HOG box of
        annotated faces (`crops.LANDMARK_BOX`). Not measured: the boxes of S3FD, with which
        the face-alignment package feeds the network; they reach higher up the forehead.

        Weights of our own say their crop themselves.
        """
        if self.rule:
            return self.rule.square(box)
        return relative_box(box, LANDMARK_BOX)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out upstream's square around a box, black outside the image; see
        `NeuralDetector.crop`.

        The corners are cut to whole pixels as upstream's are, towards zero; mapping back ignores
        that, as upstream does. The crop unit is a cell of the 64 x 64 heat map, from the crop's
        top-left corner.
        """
        if self.rule:
            cut = self.rule.cut(image, box)
            if cut is None:
                return None
            crop, (step, origin) = cut
            return crop, Placement(step * CELL, origin - step / 2)
        width, height = box[2:] - box[:2]
        side = SIDE * (width + height)
        middle = (box[:2] + box[2:]) / 2 - np.array([0, UP * height])
        if not 0 < side <= LARGEST * max(image.shape[:2]):
            return None
        # Upstream's corners are the centres of the crop's first and last pixel counted from 1.
        start = np.trunc(middle - side / 2 + side / SIZE).astype(int)
        end = np.trunc(middle + side / 2).astype(int)
        limit = np.array(image.shape[1::-1])
        inside, inside_end = np.clip(start, 0, limit), np.clip(end, 0, limit)
        if (inside >= inside_end).any():
            return None
        (x0, y0), (x1, y1) = inside - start, inside_end - start
        padded = np.zeros((end[1] - start[1], end[0] - start[0], 3), np.uint8)
        padded[y0:y1, x0:x1] = image[inside[1] : inside_end[1], inside[0] : inside_end[0]]
        crop = cv2.resize(padded, (SIZE, SIZE))
        return crop, Placement(np.full(2, side * CELL / SIZE), middle - side / 2)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """(M, 3, 256, 256) float32 in [0, 1] from (M, 256, 256, 3) RGB uint8."""
        return torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255

    def run(self, batch: Tensor) -> Tensor:
        """(M, 68, 64, 64) heat maps of the last stack; their sum with the mirrored crop's, where
        mirroring is wanted."""
        maps: Tensor = self.infer(batch)[-1]
        if self._flip:
            mirrored: Tensor = self.infer(batch.flip(3))[-1]
            maps = maps + mirrored.flip(3)[:, self._swap.to(maps.device)]
        return maps

    def decode(self, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M, 68, 2) in cells and scores (M, 68) in [0, 1] from maps (M, 68, 64, 64).

        The place is the centre of the best cell, a quarter of a cell towards the higher of its
        neighbours on either axis, unless the best cell is at the map's edge. Weights of our own
        learned to draw Gaussians, whose centre three cells on either axis tell exactly.
        """
        maps = output.float().cpu()
        rows, columns = maps.shape[2:]
        score, best = maps.flatten(2).max(-1)
        x, y = best % columns, best // columns
        inner = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)

        def height(right: int, down: int) -> Tensor:
            """(M, 68) the maps beside the best cells, where these are not at the edge."""
            index = torch.where(inner, (y + down) * columns + x + right, 0)
            return maps.flatten(2).gather(2, index[..., None]).squeeze(2)

        sides = [(height(-1, 0), height(1, 0)), (height(0, -1), height(0, 1))]
        if self.rule:
            steps = [vertex(before, score, after) for before, after in sides]
        else:
            steps = [0.25 * (after - before).sign() for before, after in sides]
        step = torch.stack([torch.where(inner, s, 0.0) for s in steps], -1)
        xy = torch.stack([x, y], -1) + 0.5 + step
        # Two maps were added where mirroring was wanted.
        return xy.numpy(), (score / (2 if self._flip else 1)).clamp(0, 1).numpy()

    def details(self) -> dict[str, Any]:
        """The number of stacks, and whether mirrored crops count."""
        return {"stacks": self._stacks, "flip": self._flip}
