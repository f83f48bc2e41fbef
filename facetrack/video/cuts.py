"""Detect cuts between shots.

Consecutive frames of one shot show the same objects, slightly moved, in any light; two shots show
different objects at the same positions. Every frame is reduced to a grey image of 64 x 48 pixels.
The detector compensates a pan between two of these images by phase correlation. A grey level counts
as different only as far as it lies outside the range of levels within two pixels in the other
image: a moving hand or head changes few such pixels, a cut changes pixels all over the image. If
many pixels differ but the edges agree, only the light has changed. The threshold adapts to the
motion of the shot. Lienhart, "Comparison of automatic shot boundary detection algorithms",
SPIE 3656, 1998, reviews such measures; benchmarks/accuracy/cuts.py evaluates this one.
"""

from __future__ import annotations

import cv2
import numpy as np

from facetrack.ops.image import downscale
from facetrack.video.dissolves import DissolveDetector

WIDTH, HEIGHT = 64, 48
MIN_THRESHOLD, THRESHOLD_GAIN, MAX_THRESHOLD = 0.04, 4.0, 0.25
"""A cut is a difference above MIN_THRESHOLD + THRESHOLD_GAIN times the shot's mean difference, or
above MAX_THRESHOLD; in standard deviations of grey levels (`frame_difference`)."""
INITIAL_DIFFERENCE, UPDATE_RATE = 0.005, 0.15
"""Mean difference assumed at the start, and weight of each frame in its running average."""
MIN_EDGE_AGREEMENT = 0.75
"""Edges with a higher agreement belong to one shot, whatever the light."""
MAX_FLASH_FRAMES = 2
"""Consecutive blank or overexposed frames that are ignored; more count as a new shot."""
MIN_CONTRAST = 4.0
"""Standard deviation of grey levels (0 to 255) below which a frame is blank."""
WHITE_LEVEL, OVEREXPOSED_SHARE = 250, 0.75
"""A frame is overexposed if more than this share of its pixels is newly above WHITE_LEVEL."""
MIN_PAN_PX, MAX_PAN_SHARE = 2, 0.6
"""Range of compensated pans: in pixels of the reduced image, and as a share of its sides."""

_NEIGHBOURHOOD = np.ones((5, 5), np.uint8)


class CutDetector:
    """Detect the first frame of each shot, frame by frame and in constant memory.

    The comparison of two frames is symmetric. Fed with frames in reverse order, the detector
    therefore finds the same cuts, at the last frame of each shot, which is then its first.

    Flashes: a frame that shows the same scene brighter, on one side or all over, is not a cut, nor
    is the frame after it. A blank frame (white, black, one colour) is skipped, and the next frame
    is compared with the frame before it. The third consecutive blank frame counts as a new shot
    and is reported. A shot is reported however short it is, and so is the return to the previous
    shot, because a tracker that dropped its faces must look for them again.

    Dissolves and fades (`dissolves`) count as two cuts: when about half of a dissolve is over, so
    that the old shot's faces are given up, and when it is over, so that those of the new shot are
    placed in a clear picture. Cuts between very similar shots (one person, one place, almost one
    pose) are missed.
    """

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None
        self._mean_difference = INITIAL_DIFFERENCE
        self._skipped = 0
        self._dissolves = DissolveDetector(frame_difference)

    def is_cut(self, image: np.ndarray) -> bool:
        """Return True if `image` is the first frame of a new shot; False for the very first frame.

        Args:
            image: (H, W, 3) uint8 RGB, the next frame; sizes may differ from frame to frame.
        """
        current = _reduce(image)
        if self._is_hard_cut(current):
            self._dissolves.reset()
            return True
        return self._dissolves.is_new_shot(current)

    def _is_hard_cut(self, current: np.ndarray) -> bool:
        previous = self._previous
        if previous is None:
            self._previous = current
            return False
        if _is_blank(previous, current) and self._skipped < MAX_FLASH_FRAMES:
            self._skipped += 1
            return False
        difference = frame_difference(previous, current)
        self._previous, self._skipped = current, 0
        threshold = min(MIN_THRESHOLD + THRESHOLD_GAIN * self._mean_difference, MAX_THRESHOLD)
        self._mean_difference += UPDATE_RATE * (min(difference, threshold) - self._mean_difference)
        return bool(difference > threshold)


def frame_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Measure how different two reduced grey images (HEIGHT, WIDTH) float32 are.

    Returns:
        The mean difference that neither a pan nor motion of two pixels explains, in standard
        deviations of the grey levels; at most MIN_THRESHOLD if the edges agree. Symmetric in the
        images, except for rounding.
    """
    unaligned = _difference(first, second)
    if unaligned <= MIN_THRESHOLD:
        return unaligned
    aligned = _compensate_pan(first, second)
    difference = min(unaligned, _difference(*aligned))
    if (
        difference > MIN_THRESHOLD
        and max(_edge_agreement(first, second), _edge_agreement(*aligned)) > MIN_EDGE_AGREEMENT
    ):
        return MIN_THRESHOLD
    return difference


def _reduce(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return downscale(grey, (WIDTH, HEIGHT)).astype(np.float32)


def _is_blank(previous: np.ndarray, current: np.ndarray) -> bool:
    newly_white = (current >= WHITE_LEVEL) & (previous < WHITE_LEVEL)
    overexposed = newly_white.mean() > OVEREXPOSED_SHARE
    # After a blank frame, another one is not a flash.
    return bool(overexposed or current.std() < MIN_CONTRAST <= previous.std())


def _compensate_pan(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop both images to the part that they share after a pan; uncropped without a pan."""
    # Copies, because OpenCV multiplies its arguments by the window in place.
    (right, down), _ = cv2.phaseCorrelate(first.copy(), second.copy(), _WINDOW)
    x, y = round(right), round(down)
    if max(abs(x), abs(y)) <= MIN_PAN_PX:
        return first, second
    if abs(x) > MAX_PAN_SHARE * WIDTH or abs(y) > MAX_PAN_SHARE * HEIGHT:
        return first, second
    return (
        first[max(0, -y) : HEIGHT - max(0, y), max(0, -x) : WIDTH - max(0, x)].copy(),
        second[max(0, y) : HEIGHT + min(0, y), max(0, x) : WIDTH + min(0, x)].copy(),
    )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean distance of normalised grey levels from the range in the other image."""
    first, second = _normalise(first), _normalise(second)
    total = 0.0
    for a, b in ((first, second), (second, first)):
        above, below = a - cv2.dilate(b, _NEIGHBOURHOOD), cv2.erode(b, _NEIGHBOURHOOD) - a
        total += float(np.maximum(np.maximum(above, below), 0).mean())
    return total / 2


def _normalise(image: np.ndarray) -> np.ndarray:
    # The constant keeps the noise of dark images from counting as much as contrast in bright ones.
    normalised: np.ndarray = (image - image.mean()) / (image.std() + 6)
    return normalised


def _edge_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean cosine between edge directions, weighted by edge strength; at most 1.

    Edges of the logarithm of an image do not change with the strength of the light.
    """
    valid = (first < WHITE_LEVEL) & (second < WHITE_LEVEL)
    a, b = _edges(first)[valid], _edges(second)[valid]
    strength = np.sqrt(np.abs(a) * np.abs(b))
    return float((strength * np.cos(np.angle(a * b.conj()))).sum() / max(strength.sum(), 1e-6))


def _edges(image: np.ndarray) -> np.ndarray:
    log = np.log(image + 8)
    edges: np.ndarray = cv2.Sobel(log, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(log, cv2.CV_32F, 0, 1)
    return edges


_WINDOW = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
