"""STAR: stacked hourglasses trained with a loss that accounts for ambiguous landmarks.

Zhou et al., "STAR Loss: Reducing Semantic Ambiguity in Facial Landmark Detection", CVPR 2023
(arXiv 2306.02763). Official checkpoints load unchanged: 98 points (WFLW), 68 (300-W), 29 (COFW).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facetrack.detectors.base import DetectorOptions
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, CropRule, Placement, cut_square
from facetrack.detectors.hourglass import signed_bgr
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.star_network import StarConfig, StarNetwork, concentration, decode
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.ops.image import block_mean
from facetrack.runtime.transfers import download
from facetrack.weights import state_dict

CHECKPOINT_KIND = "a STAR checkpoint"
HALVED = "halved"
"""Metadata key of weights trained here that were trained on crops of half the side."""

ENLARGE = 1.05
"""Factor by which upstream's demonstration enlarges the tight box around dlib's 68 landmarks."""
SHORTER_SIDE = 0.915
"""The shorter side of that box, in sides of the HOG box. Median over 253 annotated faces of the
300-W training sets, shown to the detector at sizes spread evenly over one of its scale steps
(interquartile range 0.108). It is below both sides of LANDMARK_BOX, because which side is shorter
differs from face to face."""
SCORE_RADIUS = 4.0
"""Radius in cells of four pixels within which a map's mass counts for the score: a sixteenth of the
crop, about a tenth of the distance between the outer eye corners."""
MAX_CROPS = 8
"""Crops per pass through the network. The published network needs some 60 MB for each, and larger
batches are no faster on a CPU."""


def config_of(state: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> StarConfig:
    """Infer the configuration of the STAR network in a state_dict from its names and shapes.

    Only the blur of weights trained here is not among them: the metadata say so.

    Raises:
        FacetrackError: the state_dict is not that of a STAR network.
    """
    try:
        config = StarConfig.from_state(state)
    except ValueError as error:
        raise FacetrackError(f"{path} is not {CHECKPOINT_KIND}: {error}.") from error
    return replace(config, antialiased=metadata.get("antialiased") == "true")


class Star(NeuralDetector):
    """98, 68 or 29 points from four stacked hourglasses over a face of 256 x 256 pixels.

    The score is the fraction of a landmark's map within 4 cells (16 pixels) of the landmark. It is
    near 1 if the map is a single peak, and lower if the map is spread out or has several peaks. It
    is not a calibrated probability.
    """

    name = "star"
    paper = "Zhou et al., STAR Loss, CVPR 2023 (arXiv 2306.02763)"

    def __init__(self, options: DetectorOptions | None = None) -> None:
        """
        Args:
            options: `flip` adds the maps of the mirrored crop, mirrored back; upstream does not.

        Raises:
            FacetrackError: the weights are missing, or they are not those of a STAR network.
        """
        from facetrack.weights import resolve

        options = options or DetectorOptions()
        found = resolve("star", options.weights)
        state, metadata = state_dict.read_weights(found.path)
        config = config_of(state, metadata, found.path)
        network = state_dict.build(lambda: StarNetwork(config), state, found.path, CHECKPOINT_KIND)
        network.fold_norms()
        scheme = schemes.for_count(config.points)
        rule = CropRule.read(metadata, found.path)
        super().__init__(network, scheme.name, options, found, rule, metadata)
        self._config = config
        self._halved = metadata.get(HALVED) == "true"
        # A layout without known eye corners has no left-right pairs either.
        self._flip = options.flip and scheme.eye_corners is not None
        self._swap = torch.tensor(scheme.swap, device=self.device)

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Return a square with the centre and the shorter side of the box around the landmarks.

        The crop uses no more than these two; see `NeuralDetector.crop_box`. Weights trained here
        store their own crop rule instead.
        """
        if self.rule:
            return self.rule.square(box)
        x0, y0, x1, y1 = LANDMARK_BOX
        corner, sides = box[:2], box[2:] - box[:2]
        centre = corner + sides * np.array([x0 + x1, y0 + y1]) / 2
        half = SHORTER_SIDE * sides / 2
        return np.concatenate([centre - half, centre + half])

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut out a square around the centre of the landmarks' box; see `NeuralDetector.crop`.

        Its side is ENLARGE times the box's shorter side, and it is black outside the image. The
        crop unit is the crop's pixel (pixel centres).
        """
        if self.rule:
            return self.rule.cut(image, box)
        side = ENLARGE * float((box[2:] - box[:2]).min())
        # Upstream samples single pixels at any size, and its networks were trained on such crops.
        return cut_square(image, (box[:2] + box[2:]) / 2, side, average=False)

    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to (M, 3, 256, 256) float32 BGR in [-1, 1].

        Weights trained on crops of half the side get 128 x 128 pixels.
        """
        if self._halved:
            crops = np.stack([block_mean(crop, 2) for crop in crops])
        return signed_bgr(torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255)

    def run(self, batch: Tensor) -> Tensor:
        """Return the fusion maps (M, N, 64, 64) of the last hourglass."""
        return torch.cat([self._fusion(part) for part in batch.split(MAX_CROPS)])

    def forward(self, batch: Tensor) -> Tensor:
        """Return the fusion maps (M, N, 64, 64) of a part of a batch."""
        return self.network(batch).fusion

    def _fusion(self, batch: Tensor) -> Tensor:
        fusion: Tensor = self.infer(batch)
        if self._flip:
            fusion = fusion + self.infer(batch.flip(3)).flip(3)[:, self._swap]
        return fusion

    def decode(self, output: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Decode fusion maps to landmarks (M, N, 2) in crop pixels and scores (M, N) in [0, 1]."""
        places = decode(output)
        score = concentration(output, places, SCORE_RADIUS)
        # Upstream places -1 and 1 at the outermost cells' centres when it computes the mean, but at
        # the map's outer borders when it scales the mean. The published weights were trained so.
        xy = ((places + 1) * SIZE - 1) / 2
        landmarks, scores = download(xy, score)
        return landmarks, scores

    def details(self) -> dict[str, Any]:
        """Return the network's size and whether mirroring is on."""
        return {"stacks": self._config.stacks, "width": self._config.width, "flip": self._flip}
