"""STAR: a stacked hourglass trained with a loss that allows for ambiguous landmarks.

Zhou et al., "STAR Loss: Reducing Semantic Ambiguity in Facial Landmark Detection", CVPR 2023
(arXiv 2306.02763). Official checkpoints load as they are: 98 points (WFLW), 68 (300-W), 29 (COFW).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facetrack.detectors import crops as square
from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, Placement
from facetrack.detectors.hourglass import signed_bgr
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.star_network import StarConfig, StarNetwork, concentration, decode
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.ops.image import block_mean
from facetrack.weights import state_dict

WHAT = "a STAR checkpoint"
HALVED = "halved"
"""Where the metadata of our own weights say that they learned on crops of half the side."""

# Upstream's demonstration widens the tight box around dlib's 68 landmarks by this.
ENLARGE = 1.05
# The shorter side of that box in sides of the HOG box: median over 253 annotated faces of the 300-W
# training sets, shown to the detector at sizes spread evenly over one of its steps (interquartile
# range 0.108). Shorter than LANDMARK_BOX's sides, because which one is shorter differs by face.
SHORTER = 0.915
# How far, in cells of four pixels, a map's mass counts as being at the landmark: a sixteenth of the
# crop, about a tenth of the distance between the eyes' outer corners.
NEAR = 4.0
# Crops that pass through the network together. The published one holds some 60 MB for each, and
# more of them are no faster on a CPU.
AT_ONCE = 8


def config_of(state: Mapping[str, Tensor], path: Path) -> StarConfig:
    """The shape of the STAR network in a state_dict, from its names and shapes.

    Raises:
        FacetrackError: it is not a STAR network.
    """
    try:
        return StarConfig.from_state(state)
    except ValueError as error:
        raise FacetrackError(f"{path} is not {WHAT}: {error}.") from error


class Star(NeuralDetector):
    """98, 68 or 29 points from four hourglasses in a row, over a face of 256 x 256 pixels.

    The score is the share of a landmark's map, which is 1 in all, that lies within 4 cells (16
    pixels) of the landmark: near 1 where the map is one peak, lower where it is spread out or
    has several. It is not a calibrated probability.
    """

    name = "star"
    paper = "Zhou et al., STAR Loss, CVPR 2023 (arXiv 2306.02763)"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` adds the maps of the mirrored crop, mirrored back; upstream does not.

        Raises:
            FacetrackError: there are no weights, or they are not a STAR network's.
        """
        from facetrack.weights import resolve

        options = options or DetectorOptions()
        found = resolve("star", options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(state, found.path)
        # The one thing about our own weights that their names and shapes do not tell.
        config = replace(config, antialiased=metadata.get("antialiased") == "true")
        network = StarNetwork(config)
        state_dict.load_state_dict(network, state, found.path, WHAT)
        network.fold_norms()
        scheme = schemes.for_count(config.points)
        rule = square.CropRule.read(metadata, found.path)
        super().__init__(network, scheme.name, options, found, rule)
        self._config = config
        self._halved = metadata.get(HALVED) == "true"
        # A free layout does not say which points are each other's mirror images.
        self._flip = options.flip and scheme.eye_corners is not None
        self._swap = torch.tensor(scheme.swap, device=self.device)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """A square like the tight box around the 68 landmarks: its centre and its shorter side,
        which is all that the crop takes from it; see `NeuralDetector.crop_box`. Weights of our own
        say their crop themselves."""
        if self.rule:
            return self.rule.square(box)
        x0, y0, x1, y1 = LANDMARK_BOX
        corner, sides = box[:2], box[2:] - box[:2]
        centre = corner + sides * np.array([x0 + x1, y0 + y1]) / 2
        half = SHORTER * sides / 2
        return np.concatenate([centre - half, centre + half])

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out a square around the centre of the landmarks' box; see `NeuralDetector.crop`.

        Its side is ENLARGE of the box's shorter side, and it is black outside the image. The crop
        unit is its pixel, by pixel centres.
        """
        if self.rule:
            return self.rule.cut(image, box)
        side = ENLARGE * float((box[2:] - box[:2]).min())
        # Upstream reads single pixels at any size, and its networks learned on such crops.
        return square.cut(image, (box[:2] + box[2:]) / 2, side, average=False)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """(M, 3, 256, 256) float32 BGR in [-1, 1] from (M, 256, 256, 3) RGB uint8; half the side
        for weights that learned on such."""
        if self._halved:
            crops = np.stack([block_mean(crop, 2) for crop in crops])
        return signed_bgr(torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255)

    def run(self, batch: Tensor) -> Tensor:
        """(M, N, 64, 64) fusion maps of the last hourglass."""
        return torch.cat([self._fusion(part) for part in batch.split(AT_ONCE)])

    def forward(self, batch: Tensor) -> Tensor:
        """(M, N, 64, 64) fusion maps of a part of a batch."""
        return self.network(batch).fusion

    def _fusion(self, batch: Tensor) -> Tensor:
        fusion: Tensor = self.infer(batch)
        if self._flip:
            fusion = fusion + self.infer(batch.flip(3)).flip(3)[:, self._swap]
        return fusion

    def decode(self, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M, N, 2) in crop pixels and scores (M, N) in [0, 1] from fusion maps."""
        places = decode(output)
        score = concentration(output, places, NEAR)
        # Upstream takes the map's outermost cells for -1 and 1 when it computes the mean, and its
        # outer borders when it scales the mean: the published weights are trained with it.
        xy = ((places + 1) * SIZE - 1) / 2
        return xy.cpu().numpy(), score.cpu().numpy()

    def details(self) -> dict[str, Any]:
        """The network's shape and whether mirroring is on."""
        return {"stacks": self._config.stacks, "width": self._config.width, "flip": self._flip}
