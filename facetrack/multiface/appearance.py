"""Detect sudden changes of the picture around a face.

A cut that the whole picture does not reveal (two people who change places, a picture in a picture)
leaves the tracker on whatever has taken the face's place. The points cannot reveal it either,
because one face looks much like another. The picture around the face does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facetrack.ops.image import downscale

PATCH_SIDE_PX = 24
"""Side in pixels of the grey patches that are compared."""
PATCH_SCALE = 1.6
"""Side of the compared square in sizes of the face: hair and background tell people apart, too."""
MIN_CORRELATION = 0.4
"""Correlation of two patches below which the picture has changed. Measured on real clips: at least
0.84 between consecutive frames, at most 0.1 where the person changes."""


class AppearanceMonitor:
    """Compare the picture around one face with that of the frame before."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def first_change(self, images: Sequence[np.ndarray], xy: np.ndarray) -> int | None:
        """Return the index of the first image that shows something else at the face's place.

        Each image is compared with the one before it, the first with the last of the call before.

        Args:
            images: K images (H, W, 3) uint8, in order.
            xy: (K, N, 2) pixels, the face's points in them.

        Returns:
            An index in [0, K), or None where nothing changes.
        """
        change = None
        for k, image in enumerate(images):
            previous, self._last = self._last, _grey_patch(image, xy[k])
            if change is None and previous is not None and self._last is not None:
                change = k if _correlation(previous, self._last) < MIN_CORRELATION else None
        return change


def _grey_patch(image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
    """Cut out the square around a face.

    Returns:
        (PATCH_SIDE_PX, PATCH_SIDE_PX) float32 grey; None where a point is unknown or the square
        lies outside the image.
    """
    if not np.isfinite(xy).all():
        return None
    low, high = xy.min(0), xy.max(0)
    half = max(PATCH_SCALE * float((high - low).max()) / 2, 1.0)
    middle, size = (low + high) / 2, np.array(image.shape[1::-1])
    x0, y0 = np.clip(np.floor(middle - half), 0, size).astype(int)
    x1, y1 = np.clip(np.ceil(middle + half), 0, size).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    small = downscale(image[y0:y1, x0:x1], (PATCH_SIDE_PX, PATCH_SIDE_PX))
    return np.asarray(small.mean(-1, dtype=np.float32))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate two patches, independent of brightness and contrast: 1 where they are the same,
    about 0 where they are unrelated. 1 where a patch is uniform."""
    a, b = first - first.mean(), second - second.mean()
    both = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / both if both > 0 else 1.0
