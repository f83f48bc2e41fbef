"""Attentive one-dimensional heat maps: a landmark's place along x, and its place along y.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108). No weights were ever published; files are our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facetrack.detectors import crops as square
from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import Placement
from facetrack.detectors.heatmap1d_maps import Marginals, read
from facetrack.detectors.heatmap1d_network import Heatmap1dConfig, Heatmap1dNetwork
from facetrack.detectors.hourglass import signed_bgr
from facetrack.detectors.neural import NeuralDetector
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import state_dict

ARCH = "heatmap1d"
WHAT = "a 1D-heatmap checkpoint (safetensors with its configuration)"

# Sides of the HOG box that the crop is wide and high, around the middle of LANDMARK_BOX. Measured
# on 253 annotated faces of the 300-W training sets: all 68 landmarks are inside for 99 % of them.
CROP = square.CropRule.around_landmarks(1.5)


def config_of(metadata: Mapping[str, str], path: Path) -> Heatmap1dConfig:
    """The network's shape, from what a safetensors file says of itself.

    Raises:
        FacetrackError: it says nothing, or nothing sensible.
    """
    if metadata.get("arch") != ARCH or "config" not in metadata:
        raise FacetrackError(f"{path} is not {WHAT}: its metadata do not say so.")
    try:
        return Heatmap1dConfig.from_json(metadata["config"])
    except ValueError as error:
        raise FacetrackError(f"{path} is not {WHAT}: {error}.") from error


class Heatmap1d(NeuralDetector):
    """Two maps of 768 cells a landmark, so that a cell is a third of a pixel of the crop, refined
    to a fraction of a cell (DARK).

    The score is the height of the lower of a landmark's two peaks, cut off at 0 and 1: the network
    learns to draw peaks of height 1 and draws lower ones where it is unsure. It is not a
    calibrated probability.
    """

    name = ARCH
    rule: square.CropRule
    paper = (
        "Yin et al., Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection "
        "and Tracking, ACM MM 2020 (arXiv 2004.02108)"
    )

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` takes the mean of the maps and those of the mirrored crop, mirrored
                back.

        Raises:
            FacetrackError: there are no weights, or they are not such a network's.
        """
        from facetrack.weights import resolve

        options = options or DetectorOptions()
        found = resolve(ARCH, options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(metadata, found.path)
        network = Heatmap1dNetwork(config)
        state_dict.load_state_dict(network, state, found.path, WHAT)
        network.features.fold_norms()
        scheme = schemes.for_count(config.points)
        rule = square.CropRule.read(metadata, found.path) or CROP
        super().__init__(network, scheme.name, options, found, rule)
        self.config = config
        # A free layout does not say which points are each other's mirror images.
        self._flip = options.flip and scheme.eye_corners is not None
        self._swap = torch.tensor(scheme.swap, device=self.device)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """The square that the network looks at; see `NeuralDetector.crop_box`."""
        return self.rule.square(box)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out the box, black outside the image; see `NeuralDetector.crop`. The crop unit is
        its pixel, by pixel centres."""
        return self.rule.cut(image, box)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """(M, 3, 256, 256) float32 BGR in [-1, 1] from (M, 256, 256, 3) RGB uint8."""
        return signed_bgr(torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255)

    def run(self, batch: Tensor) -> Marginals:
        """Maps of (M, N, L) for either axis."""
        maps: Marginals = self.infer(batch)
        if not self._flip:
            return maps
        mirrored: Marginals = self.infer(batch.flip(3))
        return Marginals(
            (maps.x + mirrored.x.flip(2)[:, self._swap]) / 2,
            (maps.y + mirrored.y[:, self._swap]) / 2,
        )

    def maps(self, crops: np.ndarray) -> Marginals:
        """Maps of (M, N, L) for either axis of crops (M, 256, 256, 3) RGB uint8."""
        with torch.inference_mode():
            return self.run(self.prepare(crops))

    def decode(self, output: Marginals) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M, N, 2) in crop pixels and scores (M, N) in [0, 1] from maps (M, N, L)."""
        xy, score = read(output, self.config.sigma)
        return xy.cpu().numpy(), score.cpu().numpy()

    def details(self) -> dict[str, Any]:
        """The maps' length and whether mirroring is on."""
        return {"map_length": self.config.length, "flip": self._flip}
