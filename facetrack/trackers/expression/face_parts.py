"""Patches of a face that follow its pose: one around each eye, and one around the mouth.

Lids and lips are looked for in patches which are cut as the face is turned and as large as it is,
so that little but the expression changes in them. The left eye is seen in the mirror: both eyes
are then alike.

Positions are complex numbers x + iy of the frame's pixels, by pixel centres; within a patch they
are in units of the face, the distance of the outer eye corners in the query frame as the face has
grown since, from the patch's middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.ops.similarity import as_complex, fit_rotation_scale

WEIGHTS_PART = "expressions"
"""`Weights.part` of the networks' weights."""
STEADY = np.array([*range(27, 36), 36, 39, 42, 45])
"""Nose and corners of the eyes: they keep their places on a face, whatever it does."""


@dataclass(frozen=True)
class Kind:
    """What patches of one kind have in common.

    Attributes:
        width, height: in pixels.
        scale: pixels a unit of the face.
        drop: how far the patch's middle is below the part's, in units of the face.
        points: landmarks that it holds.
        upper, lower: by their places among these, those that open and shut, one above the other.
    """

    width: int
    height: int
    scale: float
    drop: float
    points: int
    upper: tuple[int, ...]
    lower: tuple[int, ...]


EYE = Kind(64, 48, 88.0, -0.07, 11, (6, 7), (10, 9))
MOUTH = Kind(72, 64, 60.0, 0.14, 29, (13, 14, 15), (19, 18, 17))
KINDS = {"eye": EYE, "mouth": MOUTH}


@dataclass(frozen=True)
class Part:
    """A part of the face.

    Attributes:
        kind: of its patch.
        points: its landmarks, in the order of the kind; brow and lids, or lips and chin.
        middle: landmarks whose mean is its middle.
        mirrored: whether it is seen in the mirror.
    """

    kind: Kind
    points: np.ndarray
    middle: tuple[int, int]
    mirrored: bool = False


PARTS = (
    Part(EYE, np.array([*range(17, 22), *range(36, 42)]), (36, 39)),
    Part(EYE, np.array([*range(26, 21, -1), 45, 44, 43, 42, 47, 46]), (42, 45), True),
    Part(MOUTH, np.array([*range(48, 68), *range(4, 13)]), (48, 54)),
)
"""Right eye, left eye, mouth."""


class Pose(NamedTuple):
    """How a face is turned and how large it is in a frame.

    Attributes:
        arrow: one unit of the face, from its right to its left (as one sees it: to the right).
        middles: (parts,) where the middles of its parts are.
    """

    arrow: complex
    middles: np.ndarray


class Rest:
    """A face as it was in the query frame.

    Args:
        placed: (68, 2) its points there.
    """

    def __init__(self, placed: np.ndarray) -> None:
        self.points = as_complex(placed)
        span = self.points[45] - self.points[36]
        self.unit = max(abs(span), 1e-6)
        self._span = complex(span) or 1e-6
        steady = self.points[STEADY]
        self._from = steady.mean()
        self._lips = self.points[list(PARTS[2].middle)].mean()

    def pose(self, xy: np.ndarray) -> Pose:
        """Of a frame in which the face's points (68,), complex, are there."""
        grown = fit_rotation_scale(self.points[STEADY], xy[STEADY]) or 1e-6
        eyes = [xy[list(part.middle)].mean() for part in PARTS[:2]]
        # What lips do must not move the patch that they are looked for in.
        lips = xy[STEADY].mean() + grown * (self._lips - self._from)
        return Pose(complex(grown * self._span), np.array([*eyes, lips]))


def into(part: int, pose: Pose, xy: np.ndarray) -> np.ndarray:
    """Positions of the frame as those in a part's patch."""
    kind = PARTS[part].kind
    inside = (xy - pose.middles[part]) / pose.arrow
    if PARTS[part].mirrored:
        inside = -inside.conj()
    return np.asarray(inside - 1j * kind.drop)


def out_of(part: int, pose: Pose, inside: np.ndarray) -> np.ndarray:
    """The way back."""
    whole = inside + 1j * PARTS[part].kind.drop
    if PARTS[part].mirrored:
        whole = -whole.conj()
    return np.asarray(pose.middles[part] + whole * pose.arrow)


def cut(frame: np.ndarray, pose: Pose) -> list[np.ndarray]:
    """The parts' patches of a frame (H, W, 3), (height, width, 3) each; beyond the frame its border
    repeats."""
    corners = [_corners(part, pose) for part in range(len(PARTS))]
    size = np.array(frame.shape[1::-1])
    last = [right + below - first for first, right, below in corners]
    every = np.concatenate([*corners, last])
    low = np.clip(np.floor(np.array([every.real.min(), every.imag.min()])) - 2, 0, size - 1).astype(
        int
    )
    high = np.clip(
        np.ceil(np.array([every.real.max(), every.imag.max()])) + 3, low + 1, size
    ).astype(int)
    face = frame[low[1] : high[1], low[0] : high[0]]
    wide = high - low
    shrink = min(1.0, 1.25 * EYE.scale / max(abs(pose.arrow), 1.0))
    small = np.maximum(1, np.round(wide * shrink)).astype(int)
    if (small < wide).any():
        face = cv2.resize(face, small.tolist(), interpolation=cv2.INTER_AREA)
    rate = small / wide
    patches = []
    for part, there in enumerate(corners):
        kind = PARTS[part].kind
        # Between the centres of pixels, half a pixel from the corners of the rasters.
        x = (there.real - low[0] + 0.5) * rate[0] - 0.5
        y = (there.imag - low[1] + 0.5) * rate[1] - 0.5
        edge = np.array([[0, 0], [kind.width, 0], [0, kind.height]], np.float32) - 0.5
        matrix = cv2.getAffineTransform(edge, np.stack([x, y], -1).astype(np.float32))
        patches.append(
            cv2.warpAffine(
                face,
                matrix,
                (kind.width, kind.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    return patches


def _corners(part: int, pose: Pose) -> np.ndarray:
    """(3,) where the frame shows a patch's top-left, top-right and bottom-left corner."""
    kind = PARTS[part].kind
    across, down = kind.width / 2 / kind.scale, kind.height / 2 / kind.scale
    return out_of(
        part, pose, np.array([-across - 1j * down, across - 1j * down, -across + 1j * down])
    )
