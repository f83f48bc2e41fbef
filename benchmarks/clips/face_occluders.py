"""Draw occluders over the faces of `warped_faces`: flat sprites, moved by similarities.

Lengths are pixels of the frame, origin at the centre of its top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.clips.face_motion import wander

SPRITE = 256  # side of an occluder's picture; the arm of a hand goes on below it
ARM = 512


def blend(frame: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Blend `layer` (H, W, 4), whose last channel is opacity, over `frame` (H, W, 3); uint8."""
    alpha = layer[..., 3].astype(np.float32) / 255
    top = cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)
    return cv2.blendLinear(top, frame, alpha, 1 - alpha)


def occlusions(rng: np.random.Generator, frames: int, how: str) -> list[tuple[int, int]]:
    """Choose the first and last frame of each occluder on the face; never the first frames."""
    if how == "none":
        return []
    if how == "once":
        first = int(rng.uniform(0.2, 0.35) * frames)
        return [(first, first + int(rng.uniform(0.3, 0.45) * frames))]
    stays, first = [], 40
    while (first := first + int(rng.integers(40, 90))) + 60 < frames:
        last = first + int(rng.integers(15, 60))
        stays.append((first, last))
        first = last
    return stays


@dataclass
class Occluder:
    """A flat object in front of the face.

    Attributes:
        sprite: (SPRITE or more, SPRITE, 4) uint8 RGB and opacity.
        first: the first frame that shows it.
        maps: (K, 2, 3) from the frame's pixels to the sprite's, of frames first..first + K - 1.
    """

    sprite: np.ndarray
    first: int
    maps: np.ndarray

    @staticmethod
    def crossing(
        rng: np.random.Generator,
        sprite: np.ndarray,
        size: float,
        first: int,
        last: int,
        head: np.ndarray,
        aim: np.ndarray,
    ) -> Occluder:
        """Return an occluder that comes, rests on the face from `first` to `last`, and leaves.

        Args:
            size: of the object, pixels.
            head: (T, 2) positions of the head.
            aim: (2,) its place of rest, from the head's middle.
        """
        frames = np.arange(max(1, first - 16), min(len(head), last + 17))
        ways = rng.uniform(0.15, 0.85, 2) * np.pi  # from below or beside, where arms are
        away = 430 * np.column_stack([np.cos(ways), np.sin(ways)])
        come, go = rng.uniform(9, 15, 2)
        before = np.clip((first - frames) / come, 0, 1)[:, None]
        after = np.clip((frames - last) / go, 0, 1)[:, None]
        before, after = (s * s * (3 - 2 * s) for s in (before, after))
        # It half follows the head: a hand rests on a face, yet is not glued to it.
        rest = 0.6 * head[frames] + 0.4 * head[(first + last) // 2 % len(head)] + aim
        sway = np.stack([wander(rng, len(frames), 1) for _ in range(3)], -1)
        place = rest + 0.03 * size * sway[:, :2] + before * away[0] + after * away[1]
        # The sprite's foot (an arm) points to where it came from.
        angle = ways[0] - np.pi / 2 + 0.08 * sway[:, 2] + rng.normal() * 0.25
        scale = SPRITE / size / 1.2
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
        shift = SPRITE / 2 - (turn @ place[..., None])[..., 0]
        return Occluder(sprite, int(frames[0]), np.concatenate([turn, shift[..., None]], -1))

    def paint(self, frame: np.ndarray, t: int) -> None:
        """Draw it into frame t, (H, W, 3) uint8."""
        matrix = self.maps[t - self.first]
        height, width = self.sprite.shape[:2]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        corners = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        size = np.array(frame.shape[1::-1])
        x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, size)
        x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, size)
        if x1 <= x0 or y1 <= y0:
            return
        here = matrix.copy()
        here[:, 2] += matrix[:, :2] @ [x0, y0]
        layer = cv2.warpAffine(
            self.sprite,
            here,
            (int(x1 - x0), int(y1 - y0)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        part = frame[y0:y1, x0:x1]
        part[:] = blend(np.ascontiguousarray(part), layer)

    def cover(self, t: int, xy: np.ndarray) -> np.ndarray:
        """Return (N,) opacity in [0, 1] over the points (N, 2) of frame t; 0 for NaN."""
        matrix = self.maps[t - self.first]
        at = np.nan_to_num(xy, nan=-1e4) @ matrix[:, :2].T + matrix[:, 2]
        alpha = np.pad(self.sprite[..., 3].astype(float), 1)
        at = np.clip(at + 1, 0, np.array(alpha.shape[::-1]) - 1.001)
        low = at.astype(int)
        x, y = (at - low).T
        top = alpha[low[:, 1], low[:, 0]] * (1 - x) + alpha[low[:, 1], low[:, 0] + 1] * x
        below = alpha[low[:, 1] + 1, low[:, 0]] * (1 - x) + alpha[low[:, 1] + 1, low[:, 0] + 1] * x
        return (top * (1 - y) + below * y) / 255


def hand(rng: np.random.Generator, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a sprite of a hand and its arm, in the skin colour of the face in `picture`."""
    shape = np.zeros((SPRITE + ARM, SPRITE), np.uint8)
    spread = rng.uniform(0.0, 0.22)
    lit = np.zeros(shape.shape, np.float32)

    def at(x: float, y: float) -> np.ndarray:
        return np.array([128.0 + x, 140.0 + y])  # from the middle of the palm

    def limb(a: np.ndarray, b: np.ndarray, wide: float) -> None:
        part = np.zeros_like(shape)
        ends = [tuple(np.round(p * 16).astype(int).tolist()) for p in (a, b)]
        cv2.line(part, ends[0], ends[1], 255, round(wide), cv2.LINE_AA, 4)
        round_off = cv2.distanceTransform((part > 127).astype(np.uint8), cv2.DIST_L2, 5)
        np.copyto(lit, np.sqrt(np.clip(2 * round_off / wide, 0, 1)), where=part > 127)
        np.maximum(shape, part, out=shape)

    limb(at(0, 20), at(0, 160 + ARM), 56)
    limb(at(0, -8), at(0, 16), 72)
    side = 1 if rng.random() < 0.5 else -1
    limb(at(side * 26, 10), at(side * 62, -22), 22)
    for k, length in enumerate((62, 74, 70, 52)):
        x = side * (27 - 18 * k)
        tilt = side * spread * (1.5 - k)
        foot = at(x, -24)
        limb(foot, foot + length * np.array([np.sin(tilt), -np.cos(tilt)]), 18)
    where = np.round(points[[2, 14, 30, 33]]).astype(int)
    where = np.clip(where, 2, np.array(picture.shape[1::-1]) - 3)
    skin = np.median([picture[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) for x, y in where], 0)
    skin = np.clip(skin * rng.uniform(0.85, 1.15), 50, 230)
    grain = cv2.resize(rng.normal(0, 1, (60, 20)).astype(np.float32), shape.shape[::-1])
    grain += 0.8 * cv2.resize(rng.normal(0, 1, (270, 90)).astype(np.float32), shape.shape[::-1])
    light = (0.55 + 0.5 * cv2.GaussianBlur(lit, (0, 0), 1.2)) * (1 + 0.04 * grain)
    colour = np.clip(light[..., None] * skin, 0, 255).astype(np.uint8)
    return np.dstack([colour, cv2.GaussianBlur(shape, (0, 0), 1.0)])


def blob(rng: np.random.Generator, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a sprite of a roundish object, painted with a part of `picture` upside down."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = np.full(120, 86.0)
    for k in range(2, 6):
        radius += rng.normal(0, 26 / k) * np.cos(k * angle + rng.uniform(0, 6.3))
    radius = np.clip(radius, 40, 122)[:, None]
    outline = SPRITE / 2 + radius * np.column_stack([np.cos(angle), np.sin(angle)])
    shape = np.zeros((SPRITE, SPRITE), np.uint8)
    cv2.fillPoly(shape, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    side = int(0.6 * min(picture.shape[:2]))
    x, y = (int(rng.integers(0, n - side + 1)) for n in picture.shape[1::-1])
    colour = cv2.resize(np.rot90(picture, 2)[y : y + side, x : x + side], (SPRITE, SPRITE))
    return np.dstack([colour, cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.8, 2.5))])
