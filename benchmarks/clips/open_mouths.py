"""Open and shut the mouths of the benchmark's faces, with the inside of a mouth between the lips.

The lower lip goes down with the jaw, the upper lip goes up a little, and each pixel shows the part
of the photograph on its side of the lips, or the inside of the mouth. The landmarks' positions
follow from the same two maps, to a thousandth of a pixel.
"""

from __future__ import annotations

import numpy as np

from benchmarks.clips.face_motion import wander

INNER_TOP, INNER_BOTTOM = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
UPPER = (*range(49, 54), 61, 62, 63)
LOWER = (*range(4, 13), *range(55, 60), 65, 66, 67)
LIFT = 0.2  # of the upper lip, in units of what the jaw drops


class OpenMouth:
    """One face's mouth over T frames.

    Args:
        points: (68, 2) landmarks in the face's picture, pixels.
        frames: T.
        rng: of the clip.
    """

    def __init__(self, points: np.ndarray, frames: int, rng: np.random.Generator) -> None:
        left, right = points[60], points[64]
        self._points, self._middle = points, (left + right) / 2
        self._half = max(float(np.linalg.norm(right - left)) / 2, 1.0)
        self._along = (right - left) / (2 * self._half)
        self._down = np.array([-self._along[1], self._along[0]])
        self._unit = float(np.linalg.norm(points[36] - points[45]))
        self._chin = float((points[8] - self._middle) @ self._down)
        self._nose = float((self._middle - points[33]) @ self._down)
        a, v = self._own(points)
        self._top = np.column_stack([a, v])[list(INNER_TOP)]
        self._bottom = np.column_stack([a, v])[list(INNER_BOTTOM)]
        self._bottom[:, 1] = np.maximum(self._bottom[:, 1], self._top[:, 1])
        # Words, some louder than others.
        words = 0.5 + 0.5 * np.sin(np.cumsum(rng.uniform(0.25, 0.75, frames)))
        loud = 1 / (1 + np.exp(-2 * wander(rng, frames, 1.0)))
        most = min(rng.uniform(0.15, 0.4) * self._unit, 0.5 * self._chin)
        # In profile there is no mouth to open.
        frontal = 2 * self._half > 0.35 * self._unit and self._chin > 0.25 * self._unit
        self._drop = words * loud * most * frontal
        self._teeth = rng.uniform(0.02, 0.1) * self._unit
        self._tone = rng.uniform(0.4, 1.0)

    def _own(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (..., 2): shares of half the mouth along it, and pixels below it."""
        off = xy - self._middle
        return (off @ self._along) / self._half, off @ self._down

    def _lower(self, a: np.ndarray, v: np.ndarray, drop: float) -> np.ndarray:
        """Return how far the pixel at (a, v) has moved down, if it belongs to the jaw."""
        lips = np.cos(np.clip(a, -1, 1) * np.pi / 2)
        jaw = 1 / (1 + (a / 2) ** 4)
        depth = np.clip(v / self._chin, 0, 1)
        share = lips + (jaw - lips) * depth
        below = np.exp(-np.square(np.maximum(v / self._chin - 1.2, 0) / 0.5))
        return drop * share * below

    def _upper(self, a: np.ndarray, v: np.ndarray, drop: float) -> np.ndarray:
        """Return how far it has moved up, if it belongs to the upper lip."""
        lips = np.square(np.cos(np.clip(a, -1, 1) * np.pi / 2))
        near = np.clip(1 + v / max(self._nose, 1.0), 0, 1)  # none of it at the nose
        return LIFT * drop * lips * near

    def targets(self, t: int) -> np.ndarray:
        """Return (68, 2) positions of the landmarks in frame t, by the photograph's own map."""
        a, v = self._own(self._points)
        out = self._points.astype(float).copy()
        for indices, way, move in ((LOWER, 1, self._lower), (UPPER, -1, self._upper)):
            some = list(indices)
            at = v[some]
            for _ in range(60):
                at = v[some] + way * move(a[some], at, self._drop[t])
            out[some] += (at - v[some])[:, None] * self._down
        return out

    def show(self, t: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What frame t's pixels show, by the places (H, W, 2) that they would without the mouth:
        places (H, W, 2) float32, the share (H, W, 1) that is inside the mouth, and its colour
        (H, W, 3) of 255."""
        a, v = self._own(xy)
        top = np.interp(a, *self._top[np.argsort(self._top[:, 0])].T)
        bottom = np.interp(a, *self._bottom[np.argsort(self._bottom[:, 0])].T)
        high, low = v + self._upper(a, v, self._drop[t]), v - self._lower(a, v, self._drop[t])
        moved = np.where(high < top, high, low) - v
        shown = (xy + moved[..., None] * self._down).astype(np.float32)
        inside = np.clip(high - top + 0.5, 0, 1) * np.clip(bottom - low + 0.5, 0, 1)
        inside = np.where(np.abs(a) < 1, inside, 0)
        tooth = (high - top < self._teeth * (1 - a * a))[..., None]
        depth = np.clip((high - top) / (0.4 * self._unit), 0, 1)[..., None]
        flesh = np.array([90, 30, 30]) * (1 - 0.6 * depth)
        colour = self._tone * np.where(tooth, np.array([235, 225, 205]), flesh)
        return shown, inside[..., None].astype(np.float32), colour
