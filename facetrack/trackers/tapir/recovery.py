"""Looks for lost points in all of a frame, when the window that followed them shows them no more.

The frame is cut into views wider than the window; in each, every point is looked for by itself,
and a view counts as a find only where most points have moved as one: a network says quickly that
it sees a point, but strangers' points do not keep their places among each other.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window, whole_blocks
from facetrack.trackers.tapir.predictor import TAPIR, VISIBLE, StreamState

WIDER = 2.4
"""Side of a view over that of the window: a face still takes a quarter of it."""
MOST_VIEWS = 12
"""Views of one frame that are looked at; the others have their turn in later frames."""
FEWEST = 8
"""Points below which nothing can be said."""
AGREE, WITHIN = 0.7, 0.05
"""Share of all points that must agree on a similarity, within this share of the points' extent.
Over a cut of 2 s in rendered clips of held-out faces the same face has 0.60 to 1.00 (3 in 4 of them
above 0.7), another person's 0 to 0.69, a picture without that face 0 to 0.38."""
SMALLEST, LARGEST = 0.5, 2.0
"""Change of size that is believed."""


class Found(NamedTuple):
    """Where the points of the query frame are.

    Attributes:
        matrix: (2, 3) similarity from the query frame's raster coordinates to this frame's.
        scale: its change of size.
    """

    matrix: np.ndarray
    scale: float


def agreement(query: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> Found | None:
    """The similarity that most points share.

    Args:
        query, xy: (N, 2) there and here, any one coordinate system.
        seen: (N,) bool, the points that may take part.

    Returns:
        None where fewer than AGREE of all N points agree.
    """
    if seen.sum() < FEWEST:
        return None
    reach = WITHIN * float(np.ptp(query, 0).max())
    there, here = np.float32(query[seen]), np.float32(xy[seen])
    cv2.setRNGSeed(0)  # RANSAC draws: the same points give the same answer
    matrix, agreeing = cv2.estimateAffinePartial2D(
        there, here, method=cv2.RANSAC, ransacReprojThreshold=reach
    )
    if matrix is None or agreeing.sum() < AGREE * len(query):
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return Found(matrix, scale) if SMALLEST <= scale <= LARGEST else None


def views(size: tuple[int, int], side: int) -> list[Window]:
    """Square windows of `side`, overlapping by half, that cover a frame of (width, height); one
    that is larger than the frame is centred on it."""

    def corners(length: int) -> list[int]:
        if side >= length:
            return [(length - side) // 2]
        count = int(np.ceil((length - side) / (side / 2))) + 1
        return [round(x) for x in np.linspace(0, length - side, count)]

    return [Window(x, y, side) for y in corners(size[1]) for x in corners(size[0])]


class FaceRecovery:
    """Finds the query points anywhere in a frame.

    Args:
        tapir: a causal network.
        frame: (H, W, 3) uint8 RGB, the query frame.
        raster: (N, 2) the points there, raster coordinates.
        window: the one that showed them there.
    """

    def __init__(self, tapir: TAPIR, frame: np.ndarray, raster: np.ndarray, window: Window) -> None:
        self._tapir, self._query = tapir, raster
        self._side = whole_blocks(WIDER * window.side)
        middle = np.array([window.left, window.top]) + window.side / 2
        left, top = (round(float(c) - self._side / 2) for c in middle)
        wide = Window(left, top, self._side)
        self._shown = wide.crop(frame, RESOLUTION)
        self._yx = wide.into(raster, RESOLUTION)[:, ::-1]
        self._turn = 0

    @cached_property
    def _first(self) -> StreamState:
        """With the points' features; made at the first search, as most videos need none."""
        return self._tapir.start(self._shown, self._yx)

    def find(self, frame: np.ndarray) -> Found | None:
        """Where the points are in frame (H, W, 3) uint8 RGB; None where they are not found."""
        every = views((frame.shape[1], frame.shape[0]), self._side)
        chosen = [every[(self._turn + i) % len(every)] for i in range(min(MOST_VIEWS, len(every)))]
        self._turn = (self._turn + len(chosen)) % len(every)
        for view in chosen:
            first = self._first
            fresh = StreamState(self._tapir.network, first.queries, 1, first.grouping)
            output = self._tapir.step(fresh, view.crop(frame, RESOLUTION)[None])
            xy = view.out_of(output.tracks[:, 0], RESOLUTION)
            found = agreement(self._query, xy, output.visibility[:, 0] > VISIBLE)
            if found is not None:
                return found
        return None
