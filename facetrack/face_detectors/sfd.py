"""S3FD, the thorough single-shot detector that the `face-alignment` package uses before FAN.

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
    keep_best,
    largest_first,
    map_back,
    resize,
)
from facetrack.ops.image import as_rgb

if TYPE_CHECKING:
    from facetrack.weights import ResolvedWeights

# Time and memory grow with the number of pixels: larger images are brought down to PIXELS. The
# network sees faces from some 16 pixels: from 16 in a frame of 640 x 480, 40 in 1920 x 1080.
PIXELS = 307_200
# Below this side its deepest map has no cell.
SMALLEST = 16
# Colours that the network was trained to find subtracted: blue, green, red.
MEAN = (104.0, 117.0, 123.0)
# Face probabilities: boxes above the first are compared with each other, faces are above the
# second; and the most overlap of two faces.
CANDIDATE, SURE, OVERLAP = 0.05, 0.5, 0.3
# Cells of stride s hold a prior box of side ANCHOR * s; offsets are in VARIANCE of its side.
ANCHOR, VARIANCE = 4, (0.1, 0.2)

# From the network's box to dlib's HOG box. Not measured on S3FD's own boxes, for want of its
# weights: these are the medians for MTCNN's, another network trained on WIDER FACE's boxes. With
# the weights, benchmarks/calibration/face_boxes.py --detectors hog,sfd tells the true ones.
SHIFT = (0.02, 0.08)
SCALE = 0.94


class Sfd:
    """Faces at any angle and under occlusion, in a second per image; needs weights fetched once."""

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
        """Find faces in `image`, (H, W, 3) RGB or (H, W) grey uint8.

        Raises:
            FacetrackError: the weights are missing, damaged or another network's.
        """
        found = self.detect_raw(image)
        return largest_first(hog_from_box(found.boxes, SHIFT, SCALE), found.score)

    def detect_raw(self, image: np.ndarray) -> FaceBoxes:
        """The network's own boxes, before they are brought to the HOG detector's style."""
        import torch

        network = self._network
        image = as_rgb(image)
        resized = resize(image, min(1.0, math.sqrt(PIXELS / (image.shape[0] * image.shape[1]))))
        if min(resized.shape[:2]) < SMALLEST:
            return largest_first(np.empty((0, 4)), np.empty(0))
        x = torch.from_numpy(resized[..., ::-1].copy()).float() - torch.tensor(MEAN)
        with torch.inference_mode():
            maps = network(x.permute(2, 0, 1)[None])
        boxes, score = decode([m[0].numpy() for m in maps])
        return largest_first(map_back(boxes, resized, image), score)

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: its weights."""
        return {"name": self.name, **self._found.describe()}


def decode(maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (F, 4) by pixel centres and scores (F,) of the network's maps for one image.

    Args:
        maps: for each stride 4, 8, 16, ...: logits (2, h, w) of background and face, then offsets
            (4, h, w): centre right and down, logarithms of width and height.
    """
    every, every_score = [], []
    for i, (logits, offsets) in enumerate(zip(maps[::2], maps[1::2], strict=True)):
        stride = 4 * 2**i
        chance = 1 / (1 + np.exp(np.clip(logits[0] - logits[1], -80, 80)))
        row, column = np.nonzero(chance > CANDIDATE)
        change = offsets[:, row, column].astype(float)
        anchor = ANCHOR * stride
        centre = stride * (np.stack([column, row]) + 0.5) + VARIANCE[0] * anchor * change[:2]
        half = anchor / 2 * np.exp(np.clip(VARIANCE[1] * change[2:], -10, 10))
        every.append(np.concatenate([centre - half, centre + half]).T - 0.5)
        every_score.append(chance[row, column])
    boxes, score = np.concatenate(every), np.concatenate(every_score)
    keep = keep_best(boxes, score, OVERLAP)
    keep = keep[score[keep] > SURE]
    return boxes[keep], score[keep]
