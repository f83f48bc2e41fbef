"""Hard cuts: where a video goes from one shot to the next.

Two frames of one shot show the same things a little moved, in whatever light; two shots show
different things in the same places. Every frame is reduced to a grey picture of 64 x 48. Of a pair,
the pan is taken out (phase correlation), and a grey level counts as a difference only as far as
no pixel within two of its place has it: a moving hand or head changes little of that, a cut changes
it all over the picture. Where many differ but the edges still agree, it is the light that changed.
The limit follows the motion of the shot. Lienhart, "Comparison of automatic shot boundary detection
algorithms", SPIE 3656, 1998, reviews such measures; benchmarks/accuracy/cuts.py measures this one.
"""

from __future__ import annotations

import cv2
import numpy as np

from facetrack.ops.image import downscale

WIDTH, HEIGHT = 64, 48
LEAST, GAIN, MOST = 0.04, 4.0, 0.25
"""A cut differs by more than LEAST + GAIN times the shot's usual difference, or than MOST."""
USUAL, MEMORY = 0.005, 0.15
"""The usual difference before any is known, and how much of it each frame renews."""
AGREED = 0.75
"""Edges that agree more than this are those of one shot, whatever its light."""
FLASH = 2
"""Frames in a row that may be blank or burnt out before they count as a shot of their own."""
BLANK = 4.0
"""Grey levels of a frame that vary less (standard deviation) show nothing."""
WHITE, BURNT = 250, 0.75
"""A frame is burnt out when this share of its pixels is WHITE and was not before."""
SMALLEST_PAN, LARGEST_PAN = 2, 0.6
"""In pixels of the small picture, and in its sides."""

_AROUND = np.ones((5, 5), np.uint8)


class CutDetector:
    """Tells the first frame of each shot, frame by frame and in constant memory.

    Pairs of frames are compared the same way round or the other, so fed backwards it finds the
    same cuts, at the last frame of a shot, which then is its first.

    Flashes: a frame that shows the same picture brighter, on one side or all over, is no cut, nor
    is its end. A frame that shows nothing (white, black, one colour) is passed over, and the next
    is compared with the one before it; a third in a row counts as a shot of its own, and is
    reported then. A foreign picture is reported however short it is, and so is the return from it:
    who gave up the old shot must be told that it is back.

    Dissolves and fades have no first frame, and are not looked for. Cuts between shots that hardly
    differ (one person, one place, almost one pose) are missed.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = USUAL
        self._passed_over = 0

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether `image` is the first frame of a new shot; False for the first frame of all.

        Args:
            image: (H, W, 3) uint8 RGB, the next frame; sizes may differ from frame to frame.
        """
        last, now = self._last, _reduced(image)
        if last is None:
            self._last = now
            return False
        if _shows_nothing(last, now) and self._passed_over < FLASH:
            self._passed_over += 1
            return False
        difference = unlikeness(last, now)
        self._last, self._passed_over = now, 0
        limit = min(LEAST + GAIN * self._usual, MOST)
        self._usual += MEMORY * (min(difference, limit) - self._usual)
        return bool(difference > limit)


def unlikeness(first: np.ndarray, second: np.ndarray) -> float:
    """How far two small pictures (HEIGHT, WIDTH) float32 grey are from being of one shot.

    Returns:
        The mean difference that neither a pan nor motion by two pixels explains, in standard
        deviations of the grey levels; LEAST at most where edges agree. The same for both orders,
        but for rounding.
    """
    plain = _difference(first, second)
    if plain <= LEAST:
        return plain
    aligned = _panned(first, second)
    difference = min(plain, _difference(*aligned))
    if difference > LEAST and max(_agreement(first, second), _agreement(*aligned)) > AGREED:
        return LEAST
    return difference


def _reduced(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return downscale(grey, (WIDTH, HEIGHT)).astype(np.float32)


def _shows_nothing(last: np.ndarray, now: np.ndarray) -> bool:
    burnt = ((now >= WHITE) & (last < WHITE)).mean() > BURNT
    # What has been blank may stay so: it is no flash.
    return bool(burnt or now.std() < BLANK <= last.std())


def _panned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What both pictures show when one is the other after a pan; both whole without one."""
    # Copies, because OpenCV writes its window into what it is given.
    (right, down), _ = cv2.phaseCorrelate(first.copy(), second.copy(), _WINDOW)
    x, y = round(right), round(down)
    if max(abs(x), abs(y)) <= SMALLEST_PAN:
        return first, second
    if abs(x) > LARGEST_PAN * WIDTH or abs(y) > LARGEST_PAN * HEIGHT:
        return first, second
    return (
        first[max(0, -y) : HEIGHT - max(0, y), max(0, -x) : WIDTH - max(0, x)].copy(),
        second[max(0, y) : HEIGHT + min(0, y), max(0, x) : WIDTH + min(0, x)].copy(),
    )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of normalised grey levels from those around the same place in the other."""
    first, second = _normalised(first), _normalised(second)
    total = 0.0
    for one, other in ((first, second), (second, first)):
        above, below = one - cv2.dilate(other, _AROUND), cv2.erode(other, _AROUND) - one
        total += float(np.maximum(np.maximum(above, below), 0).mean())
    return total / 2


def _normalised(picture: np.ndarray) -> np.ndarray:
    # The constant keeps the noise of dim pictures from counting like the contrast of bright ones.
    normalised: np.ndarray = (picture - picture.mean()) / (picture.std() + 6)
    return normalised


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine between the edges' directions, weighted by their strength: at most 1.

    Edges are those of the logarithm, which light of any strength on either side leaves as they are.
    """
    seen = (first < WHITE) & (second < WHITE)
    a, b = _edges(first)[seen], _edges(second)[seen]
    strength = np.sqrt(np.abs(a) * np.abs(b))
    return float((strength * np.cos(np.angle(a * b.conj()))).sum() / max(strength.sum(), 1e-6))


def _edges(picture: np.ndarray) -> np.ndarray:
    light = np.log(picture + 8)
    edges: np.ndarray = cv2.Sobel(light, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(light, cv2.CV_32F, 0, 1)
    return edges


_WINDOW = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
