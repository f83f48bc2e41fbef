"""The two views of a face that landmark networks take: see `facetrack.detectors.neural`."""

from __future__ import annotations

import numpy as np

from facetrack.detectors.alignment import FaceFrame, align, frame_of_box
from facetrack.detectors.base import Landmarks
from facetrack.detectors.crops import Placement, second_boxes


def mirror(crop: np.ndarray, placement: Placement, about: float) -> tuple[np.ndarray, Placement]:
    """Flip a crop left to right.

    Args:
        crop: (H, W, 3).
        placement: of the crop.
        about: x of the crop's middle in the image.

    Returns:
        The flipped crop and its placement.
    """
    (step, down), (left, top) = placement
    flipped = Placement(np.array([-step, down]), np.array([2 * about - left, top]))
    return np.ascontiguousarray(crop[:, ::-1]), flipped


def find_frames(
    found: list[Landmarks], boxes: list[np.ndarray], side: float
) -> list[list[FaceFrame | np.ndarray]]:
    """Return the aligned squares of the faces of each image.

    Args:
        found: landmarks of the faces of each image.
        boxes: (F, 4) in which they were found.
        side: see `alignment.align`.

    Returns:
        The square that the landmarks imply, or the box implies where the landmarks are implausible;
        NaN (4,) where there are no landmarks.
    """
    frames: list[list[FaceFrame | np.ndarray]] = []
    for marks, given in zip(found, boxes, strict=True):
        implied = second_boxes(marks.xy, given)
        frames.append([])
        for xy, box, again in zip(marks.xy, given, implied, strict=True):
            if not np.isfinite(xy).all():
                frames[-1].append(again)
            elif np.isfinite(again).all():
                frames[-1].append(align(xy, side))
            else:
                frames[-1].append(frame_of_box(box, side))
    return frames


def average(first: Landmarks, second: Landmarks) -> Landmarks:
    """Average the landmarks of two views of the same faces; without a second, keep the first."""
    has_no_second = ~np.isfinite(second.xy).all((1, 2))
    xy, score = (first.xy + second.xy) / 2, (first.score + second.score) / 2
    xy[has_no_second], score[has_no_second] = first.xy[has_no_second], first.score[has_no_second]
    return Landmarks(xy, score)
