"""S3FD, the single-shot detector that the `face-alignment` package uses before FAN.

Zhang et al., S3FD: Single Shot Scale-invariant Face Detector, ICCV 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.face_detectors.base import (
    FaceBoxes,
    hog_from_box,
    largest_first,
    map_back,
    non_maximum_suppression,
    resize,
)
from facetrack.ops.image import as_rgb

if TYPE_CHECKING:
    from facetrack.weights import ResolvedWeights

MAX_IMAGE_PIXELS = 307_200
"""Number of pixels to which larger images are reduced, because time and memory grow with it. The
network finds faces from 16 pixels in frames of 640 x 480, and from 40 in 1920 x 1080."""
MIN_IMAGE_PX = 16
"""Minimum side of an image. Below it the network's deepest map has no cell."""
MEAN = (104.0, 117.0, 123.0)
"""Mean colour to subtract from the network's input: blue, green, red."""
CANDIDATE_SCORE = 0.05
"""Minimum face probability of the boxes that enter non-maximum suppression."""
MIN_SCORE = 0.5
"""Minimum probability of a face."""
MAX_OVERLAP = 0.3
"""Maximum overlap (intersection over union) of two faces."""
ANCHOR, VARIANCE = 4, (0.1, 0.2)
"""A cell of stride s has a prior box of side ANCHOR * s. The unit of the predicted offsets is
VARIANCE[0] of that side, and of the logarithmic sizes VARIANCE[1]."""

# From the network's box to dlib's HOG box. S3FD's weights were not available to measure these: they
# are the medians for MTCNN, another network trained on WIDER FACE's boxes. With the weights, run
# benchmarks/calibration/face_boxes.py --detectors hog,sfd to measure them.
SHIFT = (0.02, 0.08)
SCALE = 0.94


class Sfd:
    """Detects faces at any angle and under occlusion, in about a second per image.

    Its weights must be fetched once.
    """

    name = "sfd"

    @cached_property
    def _found(self) -> ResolvedWeights:
        from facetrack.weights import resolve

        return resolve("sfd")

    @cached_property
    def _network(self) -> Any:
        from face_alignment.detection.sfd.net_s3fd import s3fd

        from facetrack.weights.state_dict import load_state_dict, read_state_dict

        path, network = self._found.path, s3fd()
        load_state_dict(network, read_state_dict(path), path, "an S3FD face detector")
        return network.eval().requires_grad_(False)

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the weights are missing, damaged or those of another network.
        """
        raw = self.detect_raw(image)
        return largest_first(hog_from_box(raw.boxes, SHIFT, SCALE), raw.score)

    def detect_raw(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces with the network's own boxes, not converted to the HOG detector's style."""
        import torch

        network = self._network
        image = as_rgb(image)
        resized = resize(
            image, min(1.0, math.sqrt(MAX_IMAGE_PIXELS / (image.shape[0] * image.shape[1])))
        )
        if min(resized.shape[:2]) < MIN_IMAGE_PX:
            return largest_first(np.empty((0, 4)), np.empty(0))
        x = torch.from_numpy(resized[..., ::-1].copy()).float() - torch.tensor(MEAN)
        with torch.inference_mode():
            maps = network(x.permute(2, 0, 1)[None])
        boxes, score = decode([m[0].numpy() for m in maps])
        return largest_first(map_back(boxes, resized, image), score)

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: its weights."""
        return {"name": self.name, **self._found.describe()}


def decode(maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Decode the network's maps for one image.

    Args:
        maps: for each stride 4, 8, 16, ...: logits (2, h, w) of background and face, then offsets
            (4, h, w): centre right and down, logarithms of width and height.

    Returns:
        Boxes (F, 4) in pixels (pixel centres) and scores (F,).
    """
    all_boxes, all_scores = [], []
    for i, (logits, offsets) in enumerate(zip(maps[::2], maps[1::2], strict=True)):
        stride = 4 * 2**i
        probability = 1 / (1 + np.exp(np.clip(logits[0] - logits[1], -80, 80)))
        row, column = np.nonzero(probability > CANDIDATE_SCORE)
        change = offsets[:, row, column].astype(float)
        anchor = ANCHOR * stride
        centre = stride * (np.stack([column, row]) + 0.5) + VARIANCE[0] * anchor * change[:2]
        half = anchor / 2 * np.exp(np.clip(VARIANCE[1] * change[2:], -10, 10))
        all_boxes.append(np.concatenate([centre - half, centre + half]).T - 0.5)
        all_scores.append(probability[row, column])
    boxes, score = np.concatenate(all_boxes), np.concatenate(all_scores)
    keep = non_maximum_suppression(boxes, score, MAX_OVERLAP)
    keep = keep[score[keep] > MIN_SCORE]
    return boxes[keep], score[keep]
