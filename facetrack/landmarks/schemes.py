"""Define point layouts: number of landmarks, regions, connecting lines and mirror pairs.

"Right" and "left" are the subject's own: the right eye is on the left of an unmirrored image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from facetrack.errors import FacetrackError


@dataclass(frozen=True)
class Line:
    """A polyline through landmarks.

    Attributes:
        region: name of the region that it outlines.
        indices: landmarks in drawing order.
        closed: True joins the last landmark to the first.
    """

    region: str
    indices: tuple[int, ...]
    closed: bool = False


@dataclass(frozen=True)
class Scheme:
    """A point layout.

    Attributes:
        name: name as in `Tracks.scheme`: "68", "98", "29", "19", "5" or "points-N".
        count: number of points N.
        title: display name of the markup, e.g. "iBUG / 300-W".
        regions: region -> its landmarks, in order. The regions are disjoint and cover all N points
            (empty for a free layout).
        lines: polylines drawn by an overlay.
        swap: (N,) permutation: in a mirrored image, landmark i is at the mirrored position of
            landmark `swap[i]`. The identity for a free layout, whose left and right are unknown.
        eye_corners: outer corner of the right and of the left eye, or their middles in a layout
            without corners; None for a free layout.
    """

    name: str
    count: int
    title: str
    regions: Mapping[str, tuple[int, ...]]
    lines: tuple[Line, ...]
    swap: tuple[int, ...]
    eye_corners: tuple[int, int] | None

    def mirror(self, xy: np.ndarray, width: float) -> np.ndarray:
        """Return the landmarks of the horizontally flipped image.

        Args:
            xy: (..., N, 2) pixels, origin at the centre of the top-left pixel.
            width: width of the image, in pixels.

        Returns:
            A copy (..., N, 2), with landmarks swapped so that "left" is still the subject's left.
        """
        mirrored = np.array(xy)[..., list(self.swap), :]
        mirrored[..., 0] = width - 1 - mirrored[..., 0]
        return mirrored


def _span(first: int, last: int) -> tuple[int, ...]:
    """Return the landmarks first..last, both included."""
    return tuple(range(first, last + 1))


def _swap(count: int, pairs: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    swap = list(range(count))
    for right, left in pairs:
        swap[right], swap[left] = left, right
    return tuple(swap)


def _pairs(right: Iterable[int], left: Iterable[int]) -> list[tuple[int, int]]:
    return list(zip(right, left, strict=True))


_IBUG = Scheme(
    name="68",
    count=68,
    title="iBUG / 300-W",
    regions={
        "jaw": _span(0, 16),
        "right_brow": _span(17, 21),
        "left_brow": _span(22, 26),
        "nose_bridge": _span(27, 30),
        "nose_base": _span(31, 35),
        "right_eye": _span(36, 41),
        "left_eye": _span(42, 47),
        "outer_lips": _span(48, 59),
        "inner_lips": _span(60, 67),
    },
    lines=(
        Line("jaw", _span(0, 16)),
        Line("right_brow", _span(17, 21)),
        Line("left_brow", _span(22, 26)),
        Line("nose_bridge", _span(27, 30)),
        Line("nose_base", _span(31, 35)),
        Line("right_eye", _span(36, 41), closed=True),
        Line("left_eye", _span(42, 47), closed=True),
        Line("outer_lips", _span(48, 59), closed=True),
        Line("inner_lips", _span(60, 67), closed=True),
    ),
    swap=_swap(
        68,
        [
            *_pairs(range(0, 8), range(16, 8, -1)),
            *_pairs(range(17, 22), range(26, 21, -1)),
            *_pairs((31, 32), (35, 34)),
            *_pairs((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46)),
            *_pairs((48, 49, 50, 58, 59), (54, 53, 52, 56, 55)),
            *_pairs((60, 61, 67), (64, 63, 65)),
        ],
    ),
    eye_corners=(36, 45),
)

_WFLW = Scheme(
    name="98",
    count=98,
    title="WFLW",
    regions={
        "jaw": _span(0, 32),
        "right_brow": _span(33, 41),
        "left_brow": _span(42, 50),
        "nose_bridge": _span(51, 54),
        "nose_base": _span(55, 59),
        "right_eye": _span(60, 67),
        "left_eye": _span(68, 75),
        "outer_lips": _span(76, 87),
        "inner_lips": _span(88, 95),
        "right_pupil": (96,),
        "left_pupil": (97,),
    },
    lines=(
        Line("jaw", _span(0, 32)),
        Line("right_brow", _span(33, 41), closed=True),
        Line("left_brow", _span(42, 50), closed=True),
        Line("nose_bridge", _span(51, 54)),
        Line("nose_base", _span(55, 59)),
        Line("right_eye", _span(60, 67), closed=True),
        Line("left_eye", _span(68, 75), closed=True),
        Line("outer_lips", _span(76, 87), closed=True),
        Line("inner_lips", _span(88, 95), closed=True),
    ),
    swap=_swap(
        98,
        [
            *_pairs(range(0, 16), range(32, 16, -1)),
            # The upper edge of a brow runs from right to left, the lower edge back.
            *_pairs(range(33, 38), range(46, 41, -1)),
            *_pairs(range(38, 42), range(50, 46, -1)),
            *_pairs((55, 56), (59, 58)),
            *_pairs(range(60, 65), range(72, 67, -1)),
            *_pairs((65, 66, 67), (75, 74, 73)),
            *_pairs((76, 77, 78, 86, 87), (82, 81, 80, 84, 83)),
            *_pairs((88, 89, 95), (92, 91, 93)),
            (96, 97),
        ],
    ),
    eye_corners=(60, 72),
)

_COFW = Scheme(
    name="29",
    count=29,
    title="COFW",
    regions={
        "right_brow": (0, 4, 2, 5),
        "left_brow": (3, 6, 1, 7),
        "right_eye": (8, 12, 10, 13),
        "left_eye": (11, 14, 9, 15),
        "right_pupil": (16,),
        "left_pupil": (17,),
        "nose": (18, 20, 19, 21),
        "outer_lips": (22, 24, 23, 27),
        "inner_lips": (25, 26),
        "chin": (28,),
    },
    lines=(
        Line("right_brow", (0, 4, 2, 5), closed=True),
        Line("left_brow", (3, 6, 1, 7), closed=True),
        Line("right_eye", (8, 12, 10, 13), closed=True),
        Line("left_eye", (11, 14, 9, 15), closed=True),
        Line("nose", (18, 20, 19, 21), closed=True),
        Line("outer_lips", (22, 24, 23, 27), closed=True),
        # The inner edge of the lips meets the outer one in the corners of the mouth.
        Line("inner_lips", (22, 25, 23, 26), closed=True),
    ),
    swap=_swap(
        29,
        [
            *_pairs((0, 4, 2, 5), (1, 6, 3, 7)),
            *_pairs((8, 12, 10, 13), (9, 14, 11, 15)),
            *_pairs((16, 18, 22), (17, 19, 23)),
        ],
    ),
    eye_corners=(8, 9),
)

_AFLW = Scheme(
    name="19",
    count=19,
    title="AFLW (no ears)",
    regions={
        "right_brow": (0, 1, 2),
        "left_brow": (3, 4, 5),
        "right_eye": (6, 7, 8),
        "left_eye": (9, 10, 11),
        "nose": (12, 13, 14),
        "mouth": (15, 16, 17),
        "chin": (18,),
    },
    lines=(
        Line("right_brow", (0, 1, 2)),
        Line("left_brow", (3, 4, 5)),
        Line("right_eye", (6, 7, 8)),
        Line("left_eye", (9, 10, 11)),
        Line("nose", (12, 13, 14)),
        Line("mouth", (15, 16, 17)),
    ),
    swap=_swap(
        19,
        [
            *_pairs((0, 1, 2), (5, 4, 3)),
            *_pairs((6, 7, 8), (11, 10, 9)),
            *_pairs((12, 15), (14, 17)),
        ],
    ),
    eye_corners=(6, 11),
)

_FIVE = Scheme(
    name="5",
    count=5,
    title="eyes, nose and mouth",
    regions={"right_pupil": (0,), "left_pupil": (1,), "nose": (2,), "mouth": (3, 4)},
    lines=(Line("nose", (0, 2, 1)), Line("mouth", (3, 4))),
    swap=_swap(5, [(0, 1), (3, 4)]),
    # The layout has no corners: its eyes are their middles, from which its distances are taken.
    eye_corners=(0, 1),
)
"""The layout of Sun, Wang and Tang, CVPR 2013: middles of the eyes, nose tip, mouth corners."""

_SCHEMES = {scheme.name: scheme for scheme in (_IBUG, _WFLW, _COFW, _AFLW, _FIVE)}
_FREE_PREFIX = "points-"

# WFLW is a denser version of the iBUG markup. The map takes every second point of the jaw, the
# upper edge of each brow, the nose, six of the eight points of each eye and the mouth; no pupils.
MAP_98_TO_68: tuple[int, ...] = (
    *range(0, 33, 2),
    *_span(33, 37),
    *_span(42, 46),
    *_span(51, 59),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *_span(76, 95),
)


def free_scheme(n: int) -> Scheme:
    """Return a free layout for the user's own `n` points, without regions, lines or sides.

    Raises:
        FacetrackError: n < 1.
    """
    if n < 1:
        raise FacetrackError(f"A point layout needs at least one point, not {n}.")
    return Scheme(
        name=f"{_FREE_PREFIX}{n}",
        count=n,
        title=f"{n} points of the user's own",
        regions={},
        lines=(),
        swap=tuple(range(n)),
        eye_corners=None,
    )


def names() -> tuple[str, ...]:
    """Return the names of the fixed layouts."""
    return tuple(_SCHEMES)


def get(name: str) -> Scheme:
    """Return the layout called `name`: "68", "98", "29", "19", "5" or "points-N".

    Raises:
        FacetrackError: no layout has that name.
    """
    if name in _SCHEMES:
        return _SCHEMES[name]
    number = name.removeprefix(_FREE_PREFIX)
    # isdecimal alone also accepts digits of other scripts.
    if name.startswith(_FREE_PREFIX) and number.isascii() and number.isdecimal():
        return free_scheme(int(number))
    known = ", ".join(_SCHEMES)
    raise FacetrackError(f"There is no point layout {name!r}; choose {known} or {_FREE_PREFIX}N.")


def for_count(n: int) -> Scheme:
    """Return the fixed layout of `n` points, or a free layout if there is none.

    Five points are a free layout: anyone may choose as few.
    """
    return free_scheme(n) if n == _FIVE.count else _SCHEMES.get(str(n)) or free_scheme(n)


def map_98_to_68(xy: np.ndarray) -> np.ndarray:
    """Select the 68 iBUG landmarks (..., 68, 2) from the 98 WFLW landmarks (..., 98, 2).

    Raises:
        ValueError: there are not 98 points.
    """
    if xy.shape[-2] != 98:
        raise ValueError(f"98 points are needed, not {xy.shape}")
    return np.take(xy, MAP_98_TO_68, axis=-2)


def index_map(source: str, target: str) -> tuple[int, ...]:
    """Return the indices of the landmarks of layout `target` in layout `source`.

    Args:
        source, target: names of layouts: the same layout twice, or 98 and 68, mapped as published
            with WFLW.

    Returns:
        N indices into the points of `source`, for the N points of `target`.

    Raises:
        FacetrackError: there is no map from `source` to `target`, or no such layout.
    """
    source_scheme, target_scheme = get(source), get(target)
    if source_scheme == target_scheme:
        return _span(0, source_scheme.count - 1)
    if (source, target) == ("98", "68"):
        return MAP_98_TO_68
    raise FacetrackError(
        f"The {source_scheme.count} points of layout {source} cannot be converted to layout "
        f"{target} (only 98 to 68 can): choose a detector, or weights for it, that place "
        f"{target_scheme.count} points."
    )
