"""A square window that follows the face, so that a small network spends its pixels there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from facetrack.ops.image import block_mean
from facetrack.trackers.tapir.config import RESOLUTION

FACE_SHARE = 0.6
"""Share of the window's side that the points' bounding box takes."""
POSITION_RATE = 0.75
SCALE_RATE = 0.4
"""How fast the window follows; 1 is at once. Size changes slowly: a window that breathes with
every blink would add noise to what it follows."""
HOLD = 8
"""Frames that a window stays for, at most: a network is far faster on several frames at once. Of
clips of faces that move quickly, the error with 8 is 1 to 4 % larger than with 4; of calm ones it
is the same."""
TURN = math.radians(6)
"""How far the face may roll before the window turns with it. A window that stays upright is cut out
faster, and blurs nothing."""
DRIFT = 0.06
"""Share of the window's side that the face may move within a window before it is moved sooner."""
LEAST = 32.0
"""Pixels that the window's side has at least."""
TRUSTED_SHARE = 0.15
"""Share of the points that must be seen for the window to follow them."""


@dataclass
class Window:
    """A square of the frame, in raster coordinates (origin at the CORNER of the top-left pixel).

    Attributes:
        left, top, side: whole pixels, so that cropping moves nothing by fractions.
        angle: radians by which the square is then turned about its middle, clockwise as one sees
            it: what is turned so in the frame is upright in the crop.
    """

    left: int
    top: int
    side: int
    angle: float = 0.0

    @staticmethod
    def around(xy: np.ndarray, scale: float = 1.0, centre: np.ndarray | None = None) -> Window:
        """The window in which points (N, 2) take FACE_SHARE of the side, times `scale`."""
        low, high = xy.min(0), xy.max(0)
        side = whole_blocks(float((high - low).max()) / FACE_SHARE * scale)
        centre = (low + high) / 2 if centre is None else centre
        left, top = (round(float(c) - side / 2) for c in centre)
        return Window(left, top, side)

    def crop(self, frame: np.ndarray, size: int) -> np.ndarray:
        """frame (H, W, 3) -> (size, size, 3); outside the frame its border repeats."""
        if self.angle:
            return self._turned_crop(frame, size)
        height, width = frame.shape[:2]
        right, bottom = self.left + self.side, self.top + self.side
        x0, y0 = np.clip([self.left, self.top], 0, [width - 1, height - 1])
        x1, y1 = max(x0 + 1, min(right, width)), max(y0 + 1, min(bottom, height))
        part = frame[y0:y1, x0:x1]
        beyond = (y0 - self.top, bottom - y1, x0 - self.left, right - x1)
        if any(beyond):
            # A window wholly beside the frame has one repeated line; its overhang is clipped.
            above, below, before, after = (min(max(0, int(b)), self.side) for b in beyond)
            part = cv2.copyMakeBorder(part, above, below, before, after, cv2.BORDER_REPLICATE)
            part = part[: self.side, : self.side]
        block = self.side // size
        if block > 1 and self.side % block == 0:
            part = block_mean(part, block)
        # Means over fractions of pixels take ten times as long, and faces are tracked no better.
        coarse = len(part) >= 2 * size
        return cv2.resize(
            part, (size, size), interpolation=cv2.INTER_AREA if coarse else cv2.INTER_LINEAR
        )

    def _turned_crop(self, frame: np.ndarray, size: int) -> np.ndarray:
        """From an upright crop of the same fineness around the turned square."""
        block = max(1, self.side // size)
        side = block * math.ceil((self.side * math.sqrt(2) + 2) / block)
        centre = np.array([self.left, self.top]) + self.side / 2
        left, top = (round(float(c) - side / 2) for c in centre)
        around, wide = Window(left, top, side), round(side * size / self.side)
        corners = np.array([[0.0, 0.0], [size, 0.0], [0.0, size]])
        there = around.into(self.out_of(corners, size), wide)
        # Between the centres of pixels, half a pixel from the corners of the rasters.
        matrix = cv2.getAffineTransform(np.float32(corners - 0.5), np.float32(there - 0.5))
        return cv2.warpAffine(
            around.crop(frame, wide),
            matrix,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def into(self, xy: np.ndarray, size: int) -> np.ndarray:
        """Frame raster coordinates (..., 2) -> those of the crop."""
        inside = xy - np.array([self.left, self.top])
        if self.angle:
            inside = (inside - self.side / 2) @ _rotation(self.angle) + self.side / 2
        return np.asarray(inside * (size / self.side))

    def out_of(self, xy: np.ndarray, size: int) -> np.ndarray:
        """The crop's raster coordinates (..., 2) -> the frame's."""
        inside = xy * (self.side / size)
        if self.angle:
            inside = (inside - self.side / 2) @ _rotation(self.angle).T + self.side / 2
        return np.asarray(inside + np.array([self.left, self.top]))


def whole_blocks(side: float) -> int:
    """The side nearest to `side`, and at least LEAST, from which a crop of RESOLUTION is made in
    whole blocks of pixels, which is several times as fast."""
    side = max(LEAST, side)
    block = max(1, int(side) // RESOLUTION)
    # Not beyond where the next block begins.
    return min(block * round(side / block), (block + 1) * RESOLUTION)


def _rotation(angle: float) -> np.ndarray:
    """(2, 2) that turns columns clockwise, as one sees it: y points down."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


class WindowFollower:
    """Decides the window of the next frames from the points of those before.

    The window is the query frame's, moved and scaled as the seen points have moved since, and
    turned with them once they have rolled by TURN: no single point's noise or loss can make it
    jump. It stays for up to HOLD frames, for fewer when the face is fast.

    Attributes:
        window: of the next frames.
        hold: for how many frames more it stays.
        lost: frames since enough points were seen to follow.
    """

    def __init__(self, points: np.ndarray) -> None:
        """points: (N, 2) in the query frame, raster coordinates."""
        self.query = points.astype(np.float64)
        self.window = Window.around(self.query)
        self.hold = 1
        self.lost = 0
        self._base = float(self.window.side)
        low, high = self.query.min(0), self.query.max(0)
        self._anchor = (low + high) / 2
        self._centre = self._anchor.copy()
        self._scale, self._roll = 1.0, 0.0
        self._speed = 0.0
        self._frames = 0

    def update(self, xy: np.ndarray, visibility: np.ndarray) -> None:
        """Follow points (N, 2) seen with the given probabilities (N,) in one frame."""
        before, roll = self._centre.copy(), self._roll
        self._observe(xy, visibility)
        speed = float(np.linalg.norm(self._centre - before)) / self.window.side
        # A roll moves the edge of the face.
        speed = max(speed, abs(_wrapped(self._roll - roll)) * FACE_SHARE / 2)
        self._speed = max(speed, 0.5 * self._speed)
        self.hold -= 1
        self._frames += 1
        if self.hold == 0:
            self._place()
            self.hold = int(np.clip(DRIFT / max(self._speed, 1e-6), 1, HOLD))
            if self.hold == HOLD:
                # Up to a multiple of HOLD, as frames are given by the eight or so.
                self.hold -= self._frames % HOLD

    def move_to(self, matrix: np.ndarray, scale: float) -> None:
        """Go where the similarity (2, 3) of a change of size `scale` puts the query points."""
        self._centre = matrix @ np.append(self._anchor, 1.0)
        self._roll = math.atan2(matrix[1, 0], matrix[0, 0])
        self._scale, self._speed, self.hold, self.lost = scale, 0.0, 1, 0
        self._place()

    def _place(self) -> None:
        side = whole_blocks(self._base * self._scale)
        left, top = (round(float(c) - side / 2) for c in self._centre)
        angle = self.window.angle
        if abs(self._roll) < TURN / 2:
            angle = 0.0
        elif abs(_wrapped(self._roll - angle)) > TURN:
            angle = self._roll
        self.window = Window(left, top, side, angle)

    def _observe(self, xy: np.ndarray, visibility: np.ndarray) -> None:
        seen = (visibility > 0.5) & np.isfinite(xy).all(-1)
        if seen.mean() < TRUSTED_SHARE or seen.sum() < min(3, len(seen)):
            self.lost += 1
            return
        self.lost = 0
        now, then = xy[seen].astype(np.float64), self.query[seen]
        centre_now, centre_then = np.median(now, 0), np.median(then, 0)
        spread_then = np.linalg.norm(then - centre_then, axis=1)
        spread_now = np.linalg.norm(now - centre_now, axis=1)
        scale, roll = 1.0, 0.0
        if len(now) >= 3 and np.median(spread_then) > 0:
            scale = float(np.clip(np.median(spread_now) / np.median(spread_then), 0.1, 10))
            roll = _turn(then - centre_then, now - centre_now)
        # Where the anchor (the query box's centre) is now, by the seen points' motion.
        centre = centre_now + scale * _rotation(roll) @ (self._anchor - centre_then)
        self._roll = _wrapped(self._roll + POSITION_RATE * _wrapped(roll - self._roll))
        self._centre += POSITION_RATE * (centre - self._centre)
        self._scale *= (scale / self._scale) ** SCALE_RATE


def _turn(then: np.ndarray, now: np.ndarray) -> float:
    """The angle by which arrows (N, 2) have turned, clockwise as one sees it, in the mean. How long
    they are now does not count, as a stray point's is very long."""
    length = np.linalg.norm(now, axis=1, keepdims=True)
    both = np.einsum("ni,nj->ij", then, now / np.maximum(length, 1e-9))
    return math.atan2(both[0, 1] - both[1, 0], both[0, 0] + both[1, 1])


def _wrapped(angle: float) -> float:
    """The same angle between -pi and pi."""
    return math.remainder(angle, 2 * math.pi)
