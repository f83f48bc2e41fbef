"""FAN: the face alignment network, stacked hourglasses that predict one heat map per landmark.

Bulat and Tzimiropoulos, How far are we from solving the 2D & 3D Face Alignment problem?, ICCV 2017
(arXiv 1703.07332). The network comes from the face-alignment package; cropping and decoding are
reimplemented. Official 2D checkpoints load unchanged, with any number of stacks: 68 points (300-W).
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

from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, CropRule, Placement, relative_box
from facetrack.detectors.neural import NeuralDetector
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import resolve, state_dict

CHECKPOINT_KIND = "a checkpoint of the 2D FAN with 68 points"

CENTRE_SHIFT = 0.12
"""Upstream's crop: upward shift of the box's centre, as a fraction of the box's height."""
SIDE_FACTOR = 200 / 195
"""Upstream's crop: its side, as a fraction of the sum of the box's width and height."""
MAX_CROP_FACTOR = 3
"""Maximum side of the crop, in longer sides of the image. Larger crops contain no usable face."""
CELL_PX = 4
"""Crop pixels per cell of the heat maps, along either axis."""


def stacks_of(state: Mapping[str, Tensor], path: Path) -> int:
    """Return the number of hourglasses of the FAN in a state_dict.

    Raises:
        FacetrackError: the state_dict has none.
    """
    numbers = {int(m[1]) for name in state if (m := re.match(r"m(\d+)\.b1_4\.", name))}
    if not numbers:
        raise FacetrackError(f"{path} is not {CHECKPOINT_KIND}: it has no hourglass m0.")
    return 1 + max(numbers)


def gaussian_peak(before: Tensor, here: Tensor, after: Tensor) -> Tensor:
    """Fit a Gaussian through three cells and return its peak's offset from the middle cell.

    Args:
        before, here, after: heights of equal shape; the middle one must be the highest.

    Returns:
        Offsets in cells, from -0.5 to 0.5.
    """
    a, b, c = (v.clamp_min(1e-3).log() for v in (before, here, after))
    return ((a - c) / (2 * (a - 2 * b + c)).clamp_max(-1e-6)).clamp(-0.5, 0.5)


class Fan(NeuralDetector):
    """68 points from the heat maps of one to four hourglasses.

    The resolution is a quarter of a cell (1 / 256 of the crop). Upstream truncates points to whole
    pixels; here they keep their fractions and are otherwise equal. The score is the height of the
    heat map's peak, clipped to [0, 1]: the network was trained to predict peaks of height 1. It is
    not a calibrated probability.
    """

    name = "fan"
    paper = "Bulat and Tzimiropoulos, How far are we from solving ..., ICCV 2017 (arXiv 1703.07332)"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` adds the heat maps of the mirrored crop, mirrored back. This is
                upstream's default and takes twice the time.

        Raises:
            FacetrackError: the weights are missing, or they are not those of a FAN.
        """
        options = options or DetectorOptions()
        found = resolve("fan", options.weights)
        state, metadata = state_dict.read_weights(found.path)
        self._stacks = stacks_of(state, found.path)
        network = state_dict.build(lambda: FAN(self._stacks), state, found.path, CHECKPOINT_KIND)
        rule = CropRule.read(metadata, found.path)
        super().__init__(network, "68", options, found, rule, metadata)
        self._flip = options.flip
        self._swap = torch.tensor(schemes.get("68").swap)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Estimate the tight box around the 68 landmarks from dlib's HOG box.

        Published: the authors' own evaluation crops by this rule from the box around the annotated
        landmarks (their Torch 7 code, utils.lua). Measured: the place of that box in the HOG box of
        annotated faces (`crops.LANDMARK_BOX`). Not measured: the boxes of S3FD, which the
        face-alignment package uses; they reach higher up the forehead.

        Weights trained here store their own crop rule instead.
        """
        if self.rule:
            return self.rule.square(box)
        return relative_box(box, LANDMARK_BOX)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out upstream's square around a box; see `NeuralDetector.crop`.

        It is black outside the image. As upstream, the corners are truncated to whole pixels, and
        mapping back ignores the truncation. The crop unit is a cell of the 64 x 64 heat map, with
        the origin at the crop's top-left corner.
        """
        if self.rule:
            cut = self.rule.cut(image, box)
            if cut is None:
                return None
            crop, (step, origin) = cut
            return crop, Placement(step * CELL_PX, origin - step / 2)
        width, height = box[2:] - box[:2]
        side = SIDE_FACTOR * (width + height)
        middle = (box[:2] + box[2:]) / 2 - np.array([0, CENTRE_SHIFT * height])
        if not 0 < side <= MAX_CROP_FACTOR * max(image.shape[:2]):
            return None
        # Upstream's corners are the centres of the crop's first and last pixel, counted from 1.
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
        return crop, Placement(np.full(2, side * CELL_PX / SIZE), middle - side / 2)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to (M, 3, 256, 256) float32 in [0, 1]."""
        return torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255

    def run(self, batch: Tensor) -> Tensor:
        """Return the heat maps (M, 68, 64, 64) of the last stack.

        With `flip` they are the sum with the heat maps of the mirrored crop.
        """
        maps: Tensor = self.infer(batch)[-1]
        if self._flip:
            mirrored: Tensor = self.infer(batch.flip(3))[-1]
            maps = maps + mirrored.flip(3)[:, self._swap.to(maps.device)]
        return maps

    def decode(self, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Decode heat maps (M, 68, 64, 64) to landmarks (M, 68, 2) in cells and scores (M, 68).

        As upstream, a point is the centre of the highest cell, shifted on each axis by a quarter of
        a cell towards the higher neighbour, unless the cell is at the map's edge. Weights trained
        here predict Gaussians, whose centre follows exactly from three cells per axis.
        """
        maps = output.float().cpu()
        rows, columns = maps.shape[2:]
        score, best = maps.flatten(2).max(-1)
        x, y = best % columns, best // columns
        inner = (x > 0) & (x < columns - 1) & (y > 0) & (y < rows - 1)

        def height(right: int, down: int) -> Tensor:
            """Read the maps (M, 68) next to the highest cells, if these are not at the edge."""
            index = torch.where(inner, (y + down) * columns + x + right, 0)
            return maps.flatten(2).gather(2, index[..., None]).squeeze(2)

        sides = [(height(-1, 0), height(1, 0)), (height(0, -1), height(0, 1))]
        if self.rule:
            steps = [gaussian_peak(before, score, after) for before, after in sides]
        else:
            steps = [0.25 * (after - before).sign() for before, after in sides]
        step = torch.stack([torch.where(inner, s, 0.0) for s in steps], -1)
        xy = torch.stack([x, y], -1) + 0.5 + step
        # With mirroring, two maps were added.
        return xy.numpy(), (score / (2 if self._flip else 1)).clamp(0, 1).numpy()

    def details(self) -> dict[str, Any]:
        """Return the number of stacks and whether mirroring is on."""
        return {"stacks": self._stacks, "flip": self._flip}
