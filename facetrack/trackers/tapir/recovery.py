"""Recover a face that has left its window, by a search of the whole frame.

The frame is divided into views larger than the window. In each view every point is matched by
itself, and the face counts as found only if most points agree on a similarity. A network often
claims to recognise a single point, but the points of other people or objects do not keep the
arrangement of the face.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window, round_to_blocks
from facetrack.trackers.tapir.output import VISIBLE_PROBABILITY
from facetrack.trackers.tapir.predictor import TAPIR, StreamState

VIEW_SCALE = 2.4
"""Side of a view relative to that of the window: a face still spans a quarter of it."""
MAX_VIEWS = 12
"""Views searched in a frame; the others follow in later frames."""
MIN_POINTS = 8
"""Points needed for a search."""
MIN_AGREEING_SHARE = 0.7
"""Share of all points that must agree on a similarity. Over a cut of 2 s in rendered clips of
held-out faces, the same face has 0.60 to 1.00 (3 in 4 of them above 0.7), another person's 0 to
0.69, a picture without that face 0 to 0.38."""
MAX_DEVIATION = 0.05
"""Distance, as a share of the points' extent, within which a point agrees."""
MIN_SCALE, MAX_SCALE = 0.5, 2.0
"""Limits of a plausible change of size."""


class FaceMotion(NamedTuple):
    """The motion of the face since the query frame.

    Attributes:
        matrix: (2, 3) similarity from the query frame's raster coordinates to this frame's.
        scale: its change of size.
    """

    matrix: np.ndarray
    scale: float


def fit_similarity_ransac(query: np.ndarray, xy: np.ndarray, seen: np.ndarray) -> FaceMotion | None:
    """Fit the similarity that most points agree on, by RANSAC.

    Args:
        query, xy: (N, 2) positions in the query frame and now, in the same coordinate system.
        seen: (N,) bool, the points that may take part.

    Returns:
        None if fewer than MIN_AGREEING_SHARE of all N points agree.
    """
    if seen.sum() < MIN_POINTS:
        return None
    tolerance = MAX_DEVIATION * float(np.ptp(query, 0).max())
    then, now = np.float32(query[seen]), np.float32(xy[seen])
    cv2.setRNGSeed(0)  # RANSAC is random: make the result repeatable
    matrix, agreeing = cv2.estimateAffinePartial2D(
        then, now, method=cv2.RANSAC, ransacReprojThreshold=tolerance
    )
    if matrix is None or agreeing.sum() < MIN_AGREEING_SHARE * len(query):
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return FaceMotion(matrix, scale) if MIN_SCALE <= scale <= MAX_SCALE else None


def tile_views(size: tuple[int, int], side: int) -> list[Window]:
    """Return square windows of `side`, overlapping by half, that cover a frame (width, height).

    A window larger than the frame is centred on it.
    """

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
        raster: (N, 2) the points in it, raster coordinates.
        window: that of the query frame.
    """

    def __init__(self, tapir: TAPIR, frame: np.ndarray, raster: np.ndarray, window: Window) -> None:
        self._tapir, self._query = tapir, raster
        self._side = round_to_blocks(VIEW_SCALE * window.side)
        middle = np.array([window.left, window.top]) + window.side / 2
        left, top = (round(float(c) - self._side / 2) for c in middle)
        wide = Window(left, top, self._side)
        self._shown = wide.crop(frame, RESOLUTION)
        self._yx = wide.to_crop(raster, RESOLUTION)[:, ::-1]
        self._next_view = 0

    @cached_property
    def _query_state(self) -> StreamState:
        """The points' features, computed at the first search: most videos need none."""
        return self._tapir.start(self._shown, self._yx)

    def find(self, frame: np.ndarray) -> FaceMotion | None:
        """Search for the face in a frame (H, W, 3) uint8 RGB; None if it is not found."""
        windows = tile_views((frame.shape[1], frame.shape[0]), self._side)
        count = min(MAX_VIEWS, len(windows))
        chosen = [windows[(self._next_view + i) % len(windows)] for i in range(count)]
        self._next_view = (self._next_view + len(chosen)) % len(windows)
        for view in chosen:
            start = self._query_state
            fresh = StreamState(self._tapir.network, start.queries, 1, start.grouping)
            output = self._tapir.step(fresh, view.crop(frame, RESOLUTION)[None])
            xy = view.to_frame(output.tracks[:, 0], RESOLUTION)
            visible = output.visibility[:, 0] > VISIBLE_PROBABILITY
            motion = fit_similarity_ransac(self._query, xy, visible)
            if motion is not None:
                return motion
        return None
