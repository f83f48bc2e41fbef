"""Align points with the query frame's picture, to a fraction of a pixel.

A network's features have cells of 2 to 8 pixels and hardly change within a cell. The picture itself
is more precise: the query frame is turned and scaled as the face has been since, and aligned with
the present frame around each point (Lucas & Kanade, IJCAI 1981), starting at the network's
position. Both are first normalised to the same local brightness and contrast (Jarrett et al., "What
is the best multi-stage architecture for object recognition?", ICCV 2009), so that light does not
matter. The network's position remains where the two pictures differ too much, for example after a
change of expression, or where the alignment leads too far away.
"""

from __future__ import annotations

import cv2
import numpy as np

from facetrack.ops.similarity import fit_similarity

# The numbers were chosen on rendered clips of held-out faces (window of 256 pixels, face of about
# 150): calm ones, ones that talk, and ones with a bad camera.
PATCH_PX = 9
"""Side in pixels of the aligned patch."""
ITERATIONS, EPSILON = 15, 0.01
"""Steps, at most, and pixels of a step below which to stop."""
ALIGNMENT_SHARE = 0.7
"""Share of the way to the aligned position, at most: both positions have their own noise."""
CLOSE_PX, FAR_PX = 1.0, 2.5
"""Pixels between the network's and the aligned position: up to the first the alignment counts
fully, beyond the second not at all."""
MAX_DIFFERENCE = 40.0
"""Mean difference of the patches, in levels of `normalise_contrast`, at which the alignment counts
no longer."""
MIN_POINTS = 3
"""Points needed to estimate how the face has turned."""

BRIGHTNESS_SIDE, CONTRAST_SIDE = 19, 39
"""Pixels of the squares over which brightness is removed and contrast is measured."""
CONTRAST_LEVELS = 30.0
"""Local contrast after normalisation, in levels."""
NOISE_CONTRAST = 3.0
"""Grey levels of contrast that count as noise."""


class TemplateAligner:
    """Aligns points with a picture of the query frame.

    Args:
        grey: (h, w) uint8, a picture of the query frame.
        xy: (N, 2) query points in it, by pixel centres.
    """

    def __init__(self, grey: np.ndarray, xy: np.ndarray) -> None:
        self._picture, self._query = normalise_contrast(grey), np.asarray(xy, float)

    def align(self, grey: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Move points towards the positions that match the query frame's picture.

        Args:
            grey: (h, w) uint8, the present picture, of any size.
            xy: (N, 2) the network's positions in it, by pixel centres.
            seen: (N,) bool, the visible points; all others stay.

        Returns:
            (N, 2) float64.
        """
        aligned = np.array(xy, float)
        use = seen & np.isfinite(aligned).all(-1)
        if use.sum() < MIN_POINTS or np.ptp(self._query[use], axis=0).max() < 1:
            return aligned
        turn, shift = fit_similarity(self._query[use], aligned[use])
        size = (grey.shape[1], grey.shape[0])
        matrix = np.column_stack([turn, shift])
        before = cv2.warpAffine(self._picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        target, found, difference = cv2.calcOpticalFlowPyrLK(
            before,
            normalise_contrast(grey),
            np.float32(self._query[use] @ turn.T + shift).reshape(-1, 1, 2),
            np.float32(aligned[use]).reshape(-1, 1, 2),  # initial positions
            winSize=(PATCH_PX, PATCH_PX),
            maxLevel=0,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        step = target[:, 0].astype(float) - aligned[use]
        distance = np.linalg.norm(step, axis=-1)
        # OpenCV leaves the difference of what it does not find undefined.
        difference = np.where(found[:, 0] > 0, difference[:, 0], np.inf)
        share = ALIGNMENT_SHARE * np.clip(1 - difference / MAX_DIFFERENCE, 0, 1)
        share = share * np.clip((FAR_PX - distance) / (FAR_PX - CLOSE_PX), 0, 1)
        share = np.where(np.isfinite(share), share, 0.0)[:, None]
        aligned[use] += share * np.where(share > 0, step, 0.0)
        return aligned


def normalise_contrast(grey: np.ndarray) -> np.ndarray:
    """Normalise a picture (h, w) uint8 to local brightness 128 and contrast CONTRAST_LEVELS."""
    detail = grey.astype(np.float32)
    detail -= cv2.blur(detail, (BRIGHTNESS_SIDE, BRIGHTNESS_SIDE))
    variance = np.maximum(cv2.blur(detail * detail, (CONTRAST_SIDE, CONTRAST_SIDE)), 0)
    contrast = np.sqrt(variance) + NOISE_CONTRAST
    return np.clip(128 + CONTRAST_LEVELS * detail / contrast, 0, 255).astype(np.uint8)
