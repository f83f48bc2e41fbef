"""Estimate head poses in the boxes of faces, without landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from facetrack.detectors import alignment
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.base import is_usable_box
from facetrack.head_pose.network import NUMBERS, SIDE, FacePoseNet
from facetrack.head_pose.picture_pose import MIRROR, PicturePoses, from_numbers
from facetrack.measures import face_model
from facetrack.runtime.device import choose_device
from facetrack.weights import resolve
from facetrack.weights.state_dict import load_state_dict, read_state_dict

WEIGHTS_PART = "pose"
"""`Weights.part` of the network's weights."""
CROP_SIDE = 1.5
"""Side of the crop in longer sides of the upright box around the landmarks: it has room for boxes
that are off."""
_FILE_DESCRIPTION = "a file of head poses"
_BATCH = 32


def face_frame(points: np.ndarray) -> FaceFrame:
    """Return the crop of a face with landmarks (68, 2): upright and around their middle."""
    return alignment.align(points, CROP_SIDE)


class HeadPoseEstimator:
    """Estimate poses with `network.FacePoseNet`.

    The first pass sees the crop of the box. Its pose places the points of the generic 3-D face, and
    so a crop that is upright, centred and of the right size, as in the paper. The second pass sees
    this crop and its mirror image, and the answer is the mean.

    Args:
        weights: "auto", a name of `facetrack.weights`, or the path of a file.
        device: "auto", "cpu", "cuda", ...
        passes: 1 to leave out the second pass.

    Raises:
        FacetrackError: the file does not exist or holds other weights.
    """

    def __init__(self, weights: str = "auto", device: str = "auto", passes: int = 2) -> None:
        self.resolved = resolve(WEIGHTS_PART, weights)
        self.device = choose_device(device)
        self._passes = passes
        network, path = FacePoseNet(), self.resolved.path
        load_state_dict(network, read_state_dict(path), path, _FILE_DESCRIPTION)
        self._network = network.eval().to(self.device)

    def estimate(self, image: np.ndarray, boxes: np.ndarray) -> PicturePoses:
        """Estimate the poses of the faces of an image.

        Args:
            image: (H, W, 3) RGB uint8.
            boxes: (F, 4) x0 y0 x1 y1 pixels, as of dlib's HOG detector, pixel centres.

        Returns:
            Their poses; NaN for a box that is not finite, is empty or lies outside the image.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        numbers = np.full((len(boxes), NUMBERS), np.nan)
        frames = [FaceFrame(np.zeros(2), 1.0, 0.0)] * len(boxes)
        for start in range(0, len(boxes), _BATCH):
            rows = [
                row
                for row in range(start, min(start + _BATCH, len(boxes)))
                if is_usable_box(boxes[row], image)
            ]
            known = [alignment.frame_of_box(boxes[row], CROP_SIDE) for row in rows]
            answers = self._regress(image, known)
            if self._passes > 1:
                known, answers = self._refine(image, known, answers)
            for row, frame, answer in zip(rows, known, answers, strict=True):
                frames[row], numbers[row] = frame, answer
        return from_numbers(numbers, frames)

    def _refine(
        self, image: np.ndarray, frames: list[FaceFrame], numbers: np.ndarray
    ) -> tuple[list[FaceFrame], np.ndarray]:
        """Return the crops that poses imply, and the numbers (F, 6) of the poses seen in them."""
        points = from_numbers(numbers, frames).project(face_model.load().mean)
        again = [face_frame(face) for face in points]
        second = self._regress(image, again, mirrored=True)
        # A crop that lies outside the image shows nothing.
        kept = np.isfinite(second).all(-1)
        chosen = [new if keep else old for old, new, keep in zip(frames, again, kept, strict=True)]
        return chosen, np.where(kept[:, None], second, numbers)

    @torch.inference_mode()
    def _regress(
        self, image: np.ndarray, frames: Sequence[FaceFrame], mirrored: bool = False
    ) -> np.ndarray:
        """Return the numbers (F, 6) of the heads in crops; NaN outside the image."""
        numbers = np.full((len(frames), NUMBERS), np.nan)
        crops = [frame.cut(image, SIDE) for frame in frames]
        rows = [row for row, crop in enumerate(crops) if crop is not None]
        if not rows:
            return numbers
        shown = np.stack([crop for crop in crops if crop is not None])
        pictures = torch.from_numpy(shown).to(self.device).permute(0, 3, 1, 2) / 255
        answer = self._network.numbers(pictures).cpu().numpy().astype(float)
        if mirrored:
            other = self._network.numbers(pictures.flip(-1)).cpu().numpy().astype(float)
            answer = (answer + other * MIRROR) / 2
        numbers[rows] = answer
        return numbers

    def describe(self) -> dict[str, Any]:
        """Return the entries for the record."""
        return {"name": WEIGHTS_PART, **self.resolved.describe(), "device": str(self.device)}
