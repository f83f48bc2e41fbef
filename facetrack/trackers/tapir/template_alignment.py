"""Draws points to where the query frame's picture of them is found, to a fraction of a pixel.

A network's features have cells of 2 to 8 pixels and hardly change within one. The picture itself
says more: the query frame is turned and scaled as the face has been since, and aligned with the
present frame around each point (Lucas & Kanade, IJCAI 1981), from where the network has it. Both
are brought to one local brightness and contrast first (Jarrett et al., "What is the best
multi-stage architecture for object recognition?", ICCV 2009), so that light does not count. Where
the two differ too much, as where a face's expression has changed, or where the alignment leads far
away, the network's word stands.
"""

from __future__ import annotations

import cv2
import numpy as np

from facetrack.ops.similarity import fit_similarity

# Chosen on rendered clips of held-out faces (window of 256 pixels, face of about 150), calm ones,
# ones that talk, and ones with a bad camera.
PATCH = 9  # side of the patch that is aligned, pixels
ITERATIONS, EPSILON = 15, 0.01
SHARE = 0.7  # of the way to the aligned place: both have their own noise
# Pixels between the network and the aligned place: below NEAR the picture is right, beyond FAR not.
NEAR, FAR = 1.0, 2.5
WORST = 40.0  # mean difference of the patches, in levels of `even`, at which the picture is not
FEWEST = 3  # points that tell how the face has turned

# What `even` does: over squares of these sides, brightness goes, and contrast becomes LEVELS.
BRIGHTNESS, CONTRAST = 19, 39
LEVELS = 30.0
FLAT = 3.0  # grey levels of contrast that count as noise


class TemplateAligner:
    """The query frame's picture, and where the points are in it.

    Args:
        grey: (h, w) uint8, a picture of the query frame.
        xy: (N, 2) the query points there, by pixel centres.
    """

    def __init__(self, grey: np.ndarray, xy: np.ndarray) -> None:
        self._picture, self._query = even(grey), np.asarray(xy, float)

    def draw(self, grey: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The points, nearer to where the query frame's picture of them is.

        Args:
            grey: (h, w) uint8, the present picture; of any size.
            xy: (N, 2) where the network has the points in it, by pixel centres.
            seen: (N,) bool, those that are seen; all others stay.

        Returns:
            (N, 2) float64.
        """
        drawn = np.array(xy, float)
        use = seen & np.isfinite(drawn).all(-1)
        if use.sum() < FEWEST or np.ptp(self._query[use], axis=0).max() < 1:
            return drawn
        turn, shift = fit_similarity(self._query[use], drawn[use])
        size = (grey.shape[1], grey.shape[0])
        matrix = np.column_stack([turn, shift])
        before = cv2.warpAffine(self._picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        there, found, apart = cv2.calcOpticalFlowPyrLK(
            before,
            even(grey),
            np.float32(self._query[use] @ turn.T + shift).reshape(-1, 1, 2),
            np.float32(drawn[use]).reshape(-1, 1, 2),  # where the search begins
            winSize=(PATCH, PATCH),
            maxLevel=0,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        step = there[:, 0].astype(float) - drawn[use]
        far = np.linalg.norm(step, axis=-1)
        share = SHARE * np.clip(1 - apart[:, 0] / WORST, 0, 1)
        share = share * np.clip((FAR - far) / (FAR - NEAR), 0, 1)
        share = np.where((found[:, 0] > 0) & np.isfinite(share), share, 0.0)[:, None]
        drawn[use] += share * np.where(share > 0, step, 0.0)
        return drawn


def even(grey: np.ndarray) -> np.ndarray:
    """A picture (h, w) uint8 of one local brightness, 128, and one local contrast, LEVELS."""
    detail = grey.astype(np.float32)
    detail -= cv2.blur(detail, (BRIGHTNESS, BRIGHTNESS))
    contrast = np.sqrt(np.maximum(cv2.blur(detail * detail, (CONTRAST, CONTRAST)), 0)) + FLAT
    return np.clip(128 + LEVELS * detail / contrast, 0, 255).astype(np.uint8)
