"""Whether what is at a face's place has become something else from one frame to the next.

A cut that the whole picture does not tell (two people who change places, a picture in a picture)
leaves the tracker on whatever has taken the face's place, and another face looks much like a face.
"""

from __future__ import annotations

import numpy as np

from facetrack.ops.image import downscale

SIDE = 24
AROUND = 1.6
"""Side of what is compared, in sizes of the face: hair and background tell people apart, too."""
JUMP = 0.4
"""Correlation below which it is something else. Between frames of real clips 0.84 is the least, at
changes of the person it is at most 0.1."""


class AppearanceMonitor:
    """What was last seen at a face's place."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def changed(self, image: np.ndarray, xy: np.ndarray) -> bool:
        """Whether it is something else now than in the frame before.

        Args:
            image: (H, W, 3) uint8, the next frame.
            xy: (N, 2) pixels, where the face's points are in it.
        """
        last, self._last = self._last, _picture(image, xy)
        return last is not None and self._last is not None and _alike(last, self._last) < JUMP


def _picture(image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
    """(SIDE, SIDE) float32 grey; None where the place is unknown or outside."""
    if not np.isfinite(xy).all():
        return None
    low, high = xy.min(0), xy.max(0)
    half = max(AROUND * float((high - low).max()) / 2, 1.0)
    middle, size = (low + high) / 2, np.array(image.shape[1::-1])
    x0, y0 = np.clip(np.floor(middle - half), 0, size).astype(int)
    x1, y1 = np.clip(np.ceil(middle + half), 0, size).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    small = downscale(image[y0:y1, x0:x1], (SIDE, SIDE))
    return np.asarray(small.mean(-1, dtype=np.float32))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures, whatever their light: 1 for the same, about 0 for others."""
    a, b = one - one.mean(), other - other.mean()
    both = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / both if both > 0 else 1.0
