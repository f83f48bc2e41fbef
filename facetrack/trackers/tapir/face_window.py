"""A square window that follows the face, so that a small network spends its pixels on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from facetrack.ops.image import block_mean
from facetrack.trackers.tapir.config import RESOLUTION

FACE_SHARE = 0.6
"""Share of the window's side that the points' bounding box spans."""
POSITION_RATE = 0.75
SCALE_RATE = 0.4
"""Share of the face's change of position and scale that the window follows per frame. Scale changes
slowly: a window that resized with every blink would add noise to the points."""
MAX_HOLD_FRAMES = 8
"""Frames that a window stays for, at most: a network is far faster on several frames at once. On
clips of faces that move quickly, the error with 8 is 1 to 4 % larger than with 4; on calm ones it
is the same."""
MIN_ROLL = math.radians(6)
"""Radians that the face may roll before the window turns with it. An upright window is cut out
faster, and without blur."""
MAX_DRIFT = 0.06
"""Share of the window's side that the face may move before the window follows sooner."""
CALM_FRAMES = 4
"""Frames in which a calm face moves by less than MAX_DRIFT."""
MIN_SIDE_PX = 32.0
"""Pixels of the window's side, at least."""
MIN_VISIBLE_SHARE = 0.15
"""Share of the points that must be visible for the window to follow them."""


@dataclass
class Window:
    """A square of the frame, in raster coordinates (origin at the CORNER of the top-left pixel).

    Attributes:
        left, top, side: whole pixels, so that cropping shifts nothing by fractions.
        angle: radians by which the square is then turned about its centre, clockwise in the
            displayed frame: a face that has rolled by this angle is upright in the crop.
    """

    left: int
    top: int
    side: int
    angle: float = 0.0

    @staticmethod
    def around(xy: np.ndarray, scale: float = 1.0, centre: np.ndarray | None = None) -> Window:
        """Return the window around points (N, 2).

        Args:
            scale: factor on the side in which the points span FACE_SHARE.
            centre: (2,) of the window; None for that of the points' bounding box.
        """
        low, high = xy.min(0), xy.max(0)
        side = round_to_blocks(float((high - low).max()) / FACE_SHARE * scale)
        centre = (low + high) / 2 if centre is None else centre
        left, top = (round(float(c) - side / 2) for c in centre)
        return Window(left, top, side)

    def crop(self, frame: np.ndarray, size: int) -> np.ndarray:
        """Cut the window out of a frame (H, W, 3), scaled to (size, size, 3).

        Outside the frame its border repeats.
        """
        if self.angle:
            return self._turned_crop(frame, size)
        height, width = frame.shape[:2]
        right, bottom = self.left + self.side, self.top + self.side
        x0, y0 = np.clip([self.left, self.top], 0, [width - 1, height - 1])
        x1, y1 = max(x0 + 1, min(right, width)), max(y0 + 1, min(bottom, height))
        part = frame[y0:y1, x0:x1]
        beyond = (y0 - self.top, bottom - y1, x0 - self.left, right - x1)
        if any(beyond):
            # A window entirely outside the frame repeats a single line; its overhang is clipped.
            above, below, before, after = (min(max(0, int(b)), self.side) for b in beyond)
            part = cv2.copyMakeBorder(part, above, below, before, after, cv2.BORDER_REPLICATE)
            part = part[: self.side, : self.side]
        block = self.side // size
        if block > 1 and self.side % block == 0:
            part = block_mean(part, block)
        # INTER_AREA at smaller ratios takes ten times as long, and tracks faces no better.
        coarse = len(part) >= 2 * size
        return cv2.resize(
            part, (size, size), interpolation=cv2.INTER_AREA if coarse else cv2.INTER_LINEAR
        )

    def _turned_crop(self, frame: np.ndarray, size: int) -> np.ndarray:
        """Cut out a turned window, by way of an upright crop of the same resolution around it."""
        block = max(1, self.side // size)
        side = block * math.ceil((self.side * math.sqrt(2) + 2) / block)
        centre = np.array([self.left, self.top]) + self.side / 2
        left, top = (round(float(c) - side / 2) for c in centre)
        around, wide = Window(left, top, side), round(side * size / self.side)
        corners = np.array([[0.0, 0.0], [size, 0.0], [0.0, size]])
        inner = around.to_crop(self.to_frame(corners, size), wide)
        # OpenCV counts from the centres of pixels, half a pixel from the corners.
        matrix = cv2.getAffineTransform(np.float32(corners - 0.5), np.float32(inner - 0.5))
        return cv2.warpAffine(
            around.crop(frame, wide),
            matrix,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def to_crop(self, xy: np.ndarray, size: int) -> np.ndarray:
        """Convert the frame's raster coordinates (..., 2) to those of a crop of `size` pixels."""
        inside = xy - np.array([self.left, self.top])
        if self.angle:
            inside = (inside - self.side / 2) @ _rotation(self.angle) + self.side / 2
        return np.asarray(inside * (size / self.side))

    def to_frame(self, xy: np.ndarray, size: int) -> np.ndarray:
        """Convert raster coordinates (..., 2) of a crop of `size` pixels to the frame's."""
        inside = xy * (self.side / size)
        if self.angle:
            inside = (inside - self.side / 2) @ _rotation(self.angle).T + self.side / 2
        return np.asarray(inside + np.array([self.left, self.top]))


def round_to_blocks(side: float) -> int:
    """Round a side so that a crop is computed from whole blocks of pixels.

    Such a crop is several times as fast. The result is at least MIN_SIDE_PX.
    """
    side = max(MIN_SIDE_PX, side)
    block = max(1, int(side) // RESOLUTION)
    # At most the side at which the next larger block begins.
    return min(block * round(side / block), (block + 1) * RESOLUTION)


def _rotation(angle: float) -> np.ndarray:
    """Return the (2, 2) matrix that turns column vectors clockwise in a picture (y points down)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


class WindowFollower:
    """Chooses the window of the next frames from the points of the frames before.

    The window of the query frame is moved and scaled as the visible points have moved since, and
    turned with them once they have rolled by MIN_ROLL. Medians keep it from jumping with a single
    noisy or lost point. It stays for up to MAX_HOLD_FRAMES frames, for fewer if the face is fast.

    Attributes:
        window: of the next frames.
        hold: number of further frames for which it stays.
        lost: frames since enough points were visible to follow.
    """

    def __init__(self, points: np.ndarray) -> None:
        """Start with points (N, 2) of the query frame, raster coordinates."""
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

    @property
    def is_calm(self) -> bool:
        """Whether the face is seen and known to move slowly."""
        is_slow = self._frames > 1 and self._speed * CALM_FRAMES <= MAX_DRIFT
        return self.lost == 0 and is_slow

    def update(self, xy: np.ndarray, visibility: np.ndarray) -> None:
        """Follow points (N, 2) of a frame, visible with the given probabilities (N,)."""
        before, roll = self._centre.copy(), self._roll
        self._observe(xy, visibility)
        speed = float(np.linalg.norm(self._centre - before)) / self.window.side
        # A roll moves the edge of the face, too.
        speed = max(speed, abs(_wrapped(self._roll - roll)) * FACE_SHARE / 2)
        self._speed = max(speed, 0.5 * self._speed)
        self.hold -= 1
        self._frames += 1
        if self.hold == 0:
            self._place()
            self.hold = int(np.clip(MAX_DRIFT / max(self._speed, 1e-6), 1, MAX_HOLD_FRAMES))
            if self.hold == MAX_HOLD_FRAMES:
                # End at a multiple of MAX_HOLD_FRAMES, as callers feed about as many at once.
                self.hold -= self._frames % MAX_HOLD_FRAMES

    def move_to(self, matrix: np.ndarray, scale: float) -> None:
        """Move the window to the face's new place.

        Args:
            matrix: (2, 3) similarity from the query points to the points now.
            scale: its change of size.
        """
        self._centre = matrix @ np.append(self._anchor, 1.0)
        self._roll = math.atan2(matrix[1, 0], matrix[0, 0])
        self._scale, self._speed, self.hold, self.lost = scale, 0.0, 1, 0
        self._place()

    def _place(self) -> None:
        """Set the window from the face's position, scale and roll."""
        side = round_to_blocks(self._base * self._scale)
        left, top = (round(float(c) - side / 2) for c in self._centre)
        angle = self.window.angle
        if abs(self._roll) < MIN_ROLL / 2:
            angle = 0.0
        elif abs(_wrapped(self._roll - angle)) > MIN_ROLL:
            angle = self._roll
        self.window = Window(left, top, side, angle)

    def _observe(self, xy: np.ndarray, visibility: np.ndarray) -> None:
        """Update the face's position, scale and roll."""
        visible = (visibility > 0.5) & np.isfinite(xy).all(-1)
        if visible.mean() < MIN_VISIBLE_SHARE or visible.sum() < min(3, len(visible)):
            self.lost += 1
            return
        self.lost = 0
        now, then = xy[visible].astype(np.float64), self.query[visible]
        centre_now, centre_then = np.median(now, 0), np.median(then, 0)
        spread_then = np.linalg.norm(then - centre_then, axis=1)
        spread_now = np.linalg.norm(now - centre_now, axis=1)
        scale, roll = 1.0, 0.0
        if len(now) >= 3 and np.median(spread_then) > 0:
            scale = float(np.clip(np.median(spread_now) / np.median(spread_then), 0.1, 10))
            roll = _mean_turn(then - centre_then, now - centre_now)
        # The anchor (the query box's centre), moved as the visible points have.
        centre = centre_now + scale * _rotation(roll) @ (self._anchor - centre_then)
        self._roll = _wrapped(self._roll + POSITION_RATE * _wrapped(roll - self._roll))
        self._centre += POSITION_RATE * (centre - self._centre)
        self._scale *= (scale / self._scale) ** SCALE_RATE


def _mean_turn(then: np.ndarray, now: np.ndarray) -> float:
    """Return the mean clockwise angle from vectors `then` to vectors `now`, (N, 2) each.

    The lengths of `now` do not count, as a stray point's vector is very long.
    """
    length = np.linalg.norm(now, axis=1, keepdims=True)
    both = np.einsum("ni,nj->ij", then, now / np.maximum(length, 1e-9))
    return math.atan2(both[0, 1] - both[1, 0], both[0, 0] + both[1, 1])


def _wrapped(angle: float) -> float:
    """Wrap an angle to -pi to pi."""
    return math.remainder(angle, 2 * math.pi)
