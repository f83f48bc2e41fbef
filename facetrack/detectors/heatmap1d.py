"""Attentive one-dimensional heat maps: separate maps for each landmark's x and y.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108). The authors published no weights; they were trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import CropRule, Placement
from facetrack.detectors.heatmap1d_maps import Marginals, read
from facetrack.detectors.heatmap1d_network import Heatmap1dConfig, Heatmap1dNetwork
from facetrack.detectors.hourglass import signed_bgr
from facetrack.detectors.neural import NeuralDetector
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.runtime.transfers import download
from facetrack.weights import state_dict

ARCH = "heatmap1d"
CHECKPOINT_KIND = "a 1D-heatmap checkpoint (safetensors with its configuration)"

CROP = CropRule.around_landmarks(1.5)
"""The crop: 1.5 sides of the HOG box, around the middle of LANDMARK_BOX. Measured on 253 annotated
faces of the 300-W training sets: it contains all 68 landmarks of 99 % of them."""


def config_of(metadata: Mapping[str, str], path: Path) -> Heatmap1dConfig:
    """Read the network's configuration from the metadata of a safetensors file.

    Raises:
        FacetrackError: the configuration is missing or invalid.
    """
    if metadata.get("arch") != ARCH or "config" not in metadata:
        raise FacetrackError(f"{path} is not {CHECKPOINT_KIND}: its metadata do not say so.")
    try:
        return Heatmap1dConfig.from_json(metadata["config"])
    except ValueError as error:
        raise FacetrackError(f"{path} is not {CHECKPOINT_KIND}: {error}.") from error


class Heatmap1d(NeuralDetector):
    """Landmarks from two one-dimensional heat maps each, refined to a fraction of a cell (DARK).

    The maps have 768 cells, so a cell is a third of a crop pixel. The score is the height of the
    lower of a landmark's two peaks, clipped to [0, 1]: the network is trained to predict peaks of
    height 1 and predicts lower ones when it is uncertain. It is not a calibrated probability.
    """

    name = ARCH
    rule: CropRule
    paper = (
        "Yin et al., Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection "
        "and Tracking, ACM MM 2020 (arXiv 2004.02108)"
    )

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` averages the maps with those of the mirrored crop, mirrored back.

        Raises:
            FacetrackError: the weights are missing, or they are not those of this network.
        """
        from facetrack.weights import resolve

        options = options or DetectorOptions()
        found = resolve(ARCH, options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(metadata, found.path)
        network = state_dict.build(
            lambda: Heatmap1dNetwork(config), state, found.path, CHECKPOINT_KIND
        )
        network.features.fold_norms()
        scheme = schemes.for_count(config.points)
        rule = CropRule.read(metadata, found.path) or CROP
        super().__init__(network, scheme.name, options, found, rule, metadata)
        self.config = config
        # A layout without known eye corners has no left-right pairs either.
        self._flip = options.flip and scheme.eye_corners is not None
        self._swap = torch.tensor(scheme.swap, device=self.device)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Return the square crop of the network; see `NeuralDetector.crop_box`."""
        return self.rule.square(box)

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out the box, black outside the image; see `NeuralDetector.crop`.

        The crop unit is the crop's pixel (pixel centres).
        """
        return self.rule.cut(image, box)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to (M, 3, 256, 256) float32 BGR in [-1, 1]."""
        return signed_bgr(torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255)

    def run(self, batch: Tensor) -> Marginals:
        """Return the maps (M, N, L) of both axes."""
        maps: Marginals = self.infer(batch)
        if not self._flip:
            return maps
        mirrored: Marginals = self.infer(batch.flip(3))
        return Marginals(
            (maps.x + mirrored.x.flip(2)[:, self._swap]) / 2,
            (maps.y + mirrored.y[:, self._swap]) / 2,
        )

    def maps(self, crops: np.ndarray) -> Marginals:
        """Return the maps (M, N, L) of both axes for crops (M, 256, 256, 3) RGB uint8."""
        with torch.inference_mode():
            return self.run(self.prepare(crops))

    def decode(self, output: Marginals) -> tuple[np.ndarray, np.ndarray]:
        """Decode maps (M, N, L) to landmarks (M, N, 2) in crop pixels and scores (M, N)."""
        xy, score = read(output, self.config.sigma)
        landmarks, scores = download(xy, score)
        return landmarks, scores

    def details(self) -> dict[str, Any]:
        """Return the maps' length and whether mirroring is on."""
        return {"map_length": self.config.length, "flip": self._flip}
