"""How expressions move the points of one face, where a point tracker alone does not see it.

A point tracker looks for what the picture around a point was in the query frame. A smile shows
teeth where the lips met, and a shut eye has no white: it then finds the nearest that looks alike,
such as the other lip. A landmark network knows lips and lids whatever they look like, but is less
exact, and differs a little from frame to frame.

So a network is asked now and then, and a part of the face follows it by as much as three things
allow: the picture there is unlike the query frame's (else the tracker is right), the network
differs from the tracker by more than its own noise, which shows at points that keep their places
on any face, and nothing covers the face. By how much the two differed in the query frame counts as
the network's own opinion of that face, and is left out.

How far lids and lips are open is a single number of an eye or a mouth, in which the noise of many
points averages out: it is believed much sooner than the places of the points. Blinks need that,
which are over in a tenth of a second.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facetrack.landmarks import schemes
from facetrack.ops.similarity import as_complex, fit_rotation_scale

SMOOTH, SMOOTH_LIPS, SMOOTH_LIDS = 1.5, 1.0, 0.8
"""Standard deviation, in frames, of the Gaussian that looks are weighed by; for mouth and eyes."""
EVERY = 4
"""Frames from one look to the next; the last of those that are given together has one."""
KEPT = 8
"""Frames for which a look counts."""
LITTLE = 0.02
"""Weight of looks that counts as much as what is known from the frame before."""
DECAY = 0.8
"""Share of a correction that is left a frame later if nothing confirms it."""
FACE_SEEN, FACE_FREE = 0.8, 0.9
"""Share of the face's points that the tracker must see; and for a look halfway: a hand that passes
changes the picture, too."""
STEADY = np.array([*range(27, 36), 36, 39, 42, 45])
"""Nose and corners of the eyes: they keep their places on a face, whatever it does."""
AGREES = 0.05
"""Distance of these in the mean, over that of the outer eye corners, up to which the network and
the tracker are looking at the same face."""
ALIKE, UNLIKE = 0.94, 0.76
"""Correlation of the picture around a part's points with the query frame's from which the tracker
is right, and down to which the network is."""
ALIKE_OPEN, UNLIKE_OPEN = 0.98, 0.9
"""The same, for how far an eye or the mouth is open."""
ASKED = 0.65
"""How far the network is to be believed in something, for it to be worth a look."""
STILL = 0.9
"""Correlation of the picture around an eye or the mouth with that two frames before or after, below
which the frame halfway between two looks is worth one, too: who speaks opens the mouth several
times a second."""
NOISY = 0.25
"""How much of the power by which the two differ at STEADY points is the network's noise; the rest
is the tracker's, and counts against that."""
_REGIONS = schemes.get("68").regions
PARTS = tuple(
    (np.concatenate([_REGIONS[name] for name in names]), noise, seen)
    for names, noise, seen in (
        (("jaw",), 0.02, 0.8),
        (("right_brow",), 0.012, 0.5),
        (("left_brow",), 0.012, 0.5),
        (("nose_bridge", "nose_base"), 0.02, 0.5),
        (("right_eye",), 0.01, 0.0),
        (("left_eye",), 0.01, 0.0),
        (("outer_lips", "inner_lips"), 0.01, 0.5),
    )
)
"""Landmarks of each part, the network's least noise there, in distances of the outer eye corners,
and the share of its points that the tracker must see: of a mouth that opens it takes some to be
hidden, of an eye that shuts often all, and the jaw is what hands are before."""
OPENINGS = (
    (4, (37, 38), (40, 41), (36, 39), 0.01),
    (5, (43, 44), (46, 47), (42, 45), 0.01),
    (6, (49, 50, 51, 52, 53, 61, 62, 63), (55, 56, 57, 58, 59, 65, 66, 67), (48, 54), 0.0125),
)
"""What opens: its number among PARTS, the points of its upper and its lower lid or lip, its
corners, and the network's least noise in how far it is open, in distances of the outer eye corners.
All these numbers were chosen on real clips, by `benchmarks/accuracy/expressions.py`, and on rendered ones,
by `benchmarks/accuracy/tracking.py`, so that the ones gain and the others do not lose."""
PIXELS = 50.0
"""Pixels between the outer eye corners of the pictures that are compared, at most."""
REACH, SAMPLES = 0.06, 7
"""Half the side of the square around a point that is compared, in distances of the outer eye
corners, and samples along it."""


_SMOOTH = np.full(68, SMOOTH)
_SMOOTH[36:48], _SMOOTH[48:] = SMOOTH_LIDS, SMOOTH_LIPS


class PendingCorrection(NamedTuple):
    """A frame in which a part of the face looks otherwise than in the query frame.

    Attributes:
        frame: since the query frame.
        xy: (68,) the tracker's points, complex.
        shares: (parts,) how far the network is to be believed.
        opening: (openings,) how far in how much they are open.
        weight: (68,) 1 for points of parts that are seen.
    """

    frame: int
    xy: np.ndarray
    shares: np.ndarray
    opening: np.ndarray
    weight: np.ndarray


class ExpressionCorrector:
    """How one face's 68 points differ from where its tracker has them.

    Positions are complex numbers x + iy here. Differences are those on the face as it was in the
    query frame, in distances of its outer eye corners.

    Args:
        frame: (H, W, 3) uint8 RGB, the query frame.
        placed: (68, 2) the points there.
        looks: (L, 68, 2) where the network sees them there.
    """

    def __init__(self, frame: np.ndarray, placed: np.ndarray, looks: np.ndarray) -> None:
        self._rest = as_complex(placed)
        self._unit = max(abs(self._rest[45] - self._rest[36]), 1e-6)
        self._bias = np.zeros(len(placed), complex)
        self._bias = np.mean([self._difference(self._rest, as_complex(one)) for one in looks], 0)
        self._picture = self._around(frame, self._rest) if self.usable else np.zeros(0)
        self._view: np.ndarray | None = None  # the same of the last frame; None where not seen
        self._frames = 0
        self._looks: list[tuple[int, np.ndarray, np.ndarray]] = []  # frame, difference, weight
        self._now = np.zeros(len(placed), complex)

    @property
    def usable(self) -> bool:
        """Whether the network sees the face where it was placed."""
        away = np.abs(self._bias[STEADY]).mean()
        return bool(np.isfinite(self._bias).all() and self._unit > 1 and away < AGREES)

    def doubts(
        self, frames: np.ndarray, xy: np.ndarray, visible: np.ndarray
    ) -> dict[int, PendingCorrection]:
        """Which of the next frames the network is to be asked about. Every so many are thought of,
        and those halfway between two where lids or lips have moved; where the picture is like the
        query frame's, or something covers the face, there is no need.

        Args:
            frames: (K, H, W, 3) uint8 RGB.
            xy, visible: (K, 68, 2), (K, 68) the tracker's points there.
        """
        last, half = len(frames) - 1, EVERY // 2
        known = np.isfinite(xy).all((1, 2))
        seen, free = (known & (visible.mean(1) >= share) for share in (FACE_SEEN, FACE_FREE))
        views = {
            k: self._around(frames[k], as_complex(xy[k]))
            for k in range(last, -1, -EVERY)
            if seen[k]
        }
        before, self._view = self._view, views.get(last)
        chosen = dict(views)
        for k in range(last - half, -1, -EVERY):
            if free[k]:
                view = self._around(frames[k], as_complex(xy[k]))
                earlier = views.get(k - half) if k >= half else before
                if any(_moved(view, other) for other in (earlier, views.get(k + half))):
                    chosen[k] = view
        judged = {k: self._judged(k, as_complex(xy[k]), chosen[k], visible[k]) for k in chosen}
        return {k: doubt for k, doubt in judged.items() if doubt is not None}

    def _judged(
        self, k: int, now: np.ndarray, picture: np.ndarray, visible: np.ndarray
    ) -> PendingCorrection | None:
        """Whether the picture around points (68,) of the k-th frame from now on says that the
        network is to be asked; if not, the tracker is right there."""
        alike, weight = np.full(len(PARTS), np.inf), np.zeros(len(now))
        for i, (points, _, seen) in enumerate(PARTS):
            if visible[points].mean() >= seen:
                alike[i] = _correlation(self._picture[points], picture[points])
                weight[points] = 1.0
        shares = _from_to(ALIKE, UNLIKE, alike)
        opening = _from_to(ALIKE_OPEN, UNLIKE_OPEN, alike[[part for part, *_ in OPENINGS]])
        if max(shares.max(), opening.max()) > ASKED:
            return PendingCorrection(self._frames + k, now, shares, opening, weight)
        self._looks.append((self._frames + k, np.zeros_like(now), weight))
        return None

    def look(self, doubt: PendingCorrection, seen: np.ndarray) -> None:
        """What the network says of a doubt: (68, 2); NaN where it sees no face."""
        if not np.isfinite(seen).all():
            return
        off = self._difference(doubt.xy, as_complex(seen)) - self._bias
        if np.abs(off[STEADY]).mean() > AGREES:
            return
        noise = NOISY * (np.abs(off[STEADY]) ** 2).mean()
        believed = np.zeros_like(off)
        for share, (points, least, _) in zip(doubt.shares, PARTS, strict=True):
            power = (np.abs(off[points]) ** 2).mean()
            believed[points] = share * _certain(power, least**2 + noise) * off[points]
        for share, (_, *flaps, corners, least) in zip(doubt.opening, OPENINGS, strict=True):
            self._open(believed, off, share, [list(flap) for flap in flaps], list(corners), least)
        self._looks.append((doubt.frame, believed, doubt.weight))

    def _open(
        self,
        believed: np.ndarray,
        off: np.ndarray,
        share: float,
        flaps: list[list[int]],
        corners: list[int],
        least: float,
    ) -> None:
        """Have `flaps`, an upper and a lower one, as far apart in `believed` as in `off`, by
        `share`; both (68,). Where they are more so already, they stay."""
        up = 1j * (self._rest[corners[1]] - self._rest[corners[0]])
        up /= max(abs(up), 1e-6)
        wide, known = (
            [((at[flap].mean() - at[corners].mean()) / up).real for flap in flaps]
            for at in (off, believed)
        )
        share *= _certain((wide[0] - wide[1]) ** 2, least**2)
        if share * abs(wide[0] - wide[1]) > abs(known[0] - known[1]):
            for flap, there, here in zip(flaps, wide, known, strict=True):
                believed[flap] += (share * there - here) * up

    def correct(self, xy: np.ndarray) -> np.ndarray:
        """The tracker's points (K, 68, 2) in the next frames, corrected by all looks so far."""
        corrected = np.array(xy, np.float32)
        self._looks = [look for look in self._looks if look[0] > self._frames - KEPT]
        for k, points in enumerate(xy):
            if not np.isfinite(points).all():
                continue
            self._now = self._weighed(self._frames + k) if self._looks else self._now * DECAY
            moved = self._now * self._pose(as_complex(points)) * self._unit
            corrected[k] += np.stack([moved.real, moved.imag], -1)
        self._frames += len(xy)
        return corrected

    def _weighed(self, frame: int) -> np.ndarray:
        """The looks' differences, by how near they are in time."""
        when, off, weight = (np.array(kind) for kind in zip(*self._looks, strict=True))
        near = np.exp(-0.5 * ((when - frame)[:, None] / _SMOOTH) ** 2) * weight
        total = near.sum(0)
        mean = (near * off).sum(0) / np.maximum(total, 1e-12)
        sure = total / (total + LITTLE)
        return np.asarray(sure * mean + (1 - sure) * DECAY * self._now)

    def _difference(self, xy: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return np.asarray((seen - xy) / self._pose(xy) / self._unit)

    def _pose(self, xy: np.ndarray) -> complex:
        """How the face has turned and grown since the query frame, by what keeps its place."""
        return fit_rotation_scale(self._rest[STEADY], xy[STEADY]) or 1e-6

    def _around(self, frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """(68, SAMPLES**2) float32 grey levels around points of a frame, as the face is turned."""
        arrow = self._pose(xy) * self._unit
        reach = REACH * abs(arrow) + 2
        size = np.array(frame.shape[1::-1])
        low = [xy.real.min() - reach, xy.imag.min() - reach]
        high = [xy.real.max() + reach, xy.imag.max() + reach]
        first = np.clip(np.floor(low), 0, size - 1).astype(int)
        last = np.clip(np.ceil(high), first + 1, size).astype(int)
        grey = cv2.cvtColor(
            np.ascontiguousarray(frame[first[1] : last[1], first[0] : last[0]]), cv2.COLOR_RGB2GRAY
        )
        wide = last - first
        small = np.maximum(1, np.round(wide * min(1.0, PIXELS / max(abs(arrow), 1.0)))).astype(int)
        if (small < wide).any():
            grey = cv2.resize(grey, small.tolist(), interpolation=cv2.INTER_AREA)
        scale = small / wide
        axis = np.linspace(-REACH, REACH, SAMPLES)
        places = xy[:, None] + arrow * (axis[None] + 1j * axis[:, None]).reshape(1, -1)
        # Between the centres of pixels, half a pixel from the corners of the rasters.
        x = (places.real - first[0] + 0.5) * scale[0] - 0.5
        y = (places.imag - first[1] + 0.5) * scale[1] - 0.5
        return cv2.remap(
            grey,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32)


def _moved(view: np.ndarray, other: np.ndarray | None) -> bool:
    """Whether lids or lips look otherwise in one picture around the 68 points than in another."""
    return other is not None and any(
        _correlation(view[points], other[points], blank=1.0) < STILL
        for points in (PARTS[part][0] for part, *_ in OPENINGS)
    )


def _from_to(none: float, all_of_it: float, alike: np.ndarray) -> np.ndarray:
    """How far the network is believed where pictures are alike by so much: 0 to 1."""
    return np.clip((none - alike) / (none - all_of_it), 0, 1)


def _certain(power: float, noise: float) -> float:
    """The share of a difference of that power that is not noise."""
    return max(0.0, 1 - noise / max(power, 1e-12))


def _correlation(one: np.ndarray, other: np.ndarray, blank: float = 0.0) -> float:
    """Of patches (M, P) with their counterparts, each less its mean, all together; `blank` where
    there is nothing on one side."""
    one = one - one.mean(1, keepdims=True)
    other = other - other.mean(1, keepdims=True)
    power = float((one**2).sum() * (other**2).sum())
    return float((one * other).sum()) / np.sqrt(power) if power > 0 else blank
