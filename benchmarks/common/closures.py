"""Eyes that shut: how many of the closures that people saw do landmarks show, how deep, and when?

The opening of the eyes is the mean distance of the lids, in distances of the outer eye corners. A
clip's open eye is the 95th percentile of it. A closure is found where the opening falls below 0.6
of that within 2 frames of the peak that was seen, and complete where it falls below 0.3. A false
dip is a stretch below 0.6 that is near no closure, and in which the eyes of the mesh are as open as
ever.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OPEN = 95.0
"""Percentile of a clip's openings that counts as its open eye."""
DIP = 0.6
"""Share of the open eye below which a closure is found."""
NEAR, AROUND = 2, 4
"""Frames around a peak in which a closure is found, and in which its deepest frame is sought."""
SHUT = 0.3
"""Share of the open eye below which a closure is shown as complete."""
STILL_OPEN = 0.75
"""Share of the open eye above which the mesh denies a dip."""
LAGS = 5
"""Frames by which a method's opening is shifted at most to fit the mesh's."""


class Closures(NamedTuple):
    """What a method shows of the closures of a clip, or of several.

    Attributes:
        depths: share of the open eye at each peak: the least within NEAR frames.
        delays: frames from each peak that was found to the deepest frame around it.
        false_dips: how many.
        seconds: of the clip.
    """

    depths: np.ndarray
    delays: np.ndarray
    false_dips: int
    seconds: float

    @property
    def found(self) -> int:
        """How many closures."""
        return int((self.depths < DIP).sum())

    @property
    def complete(self) -> int:
        """How many of these are shown as complete."""
        return int((self.depths < SHUT).sum())

    def row(self) -> str:
        """Found, complete, depth, timing and false dips as cells of a table."""
        deep = f"{np.median(self.depths):.2f}" if len(self.depths) else "-"
        off = f"{np.abs(self.delays).mean():.1f}" if len(self.delays) else "-"
        minute = 60 * self.false_dips / self.seconds
        return (
            f"{self.found} of {len(self.depths)} | {self.complete} | {deep} | {off} | {minute:.1f}"
        )


def closures(
    openings: np.ndarray, mesh: np.ndarray | None, peaks: list[int], seconds: float
) -> Closures:
    """Compare openings (T,) with the peaks of closures that were seen.

    Args:
        openings: NaN where the face is not known.
        mesh: (T,) openings on the mesh, which may know of closures that nobody noted.
        peaks: 0-based frames.
    """
    share = shares(openings)
    depths, delays = [], []
    for peak in peaks:
        depths.append(_least(share, peak, NEAR)[0])
        if depths[-1] < DIP:
            delays.append(_least(share, peak, AROUND)[1] - peak)
    denied = shares(mesh) if mesh is not None else np.ones_like(share)
    false = 0
    for first, last in _runs(share < DIP):
        seen = any(first - AROUND <= peak <= last + AROUND for peak in peaks)
        around = denied[max(0, first - NEAR) : last + NEAR + 1]
        if not seen and np.isfinite(around).any() and np.nanmin(around) > STILL_OPEN:
            false += 1
    return Closures(np.array(depths), np.array(delays), false, seconds)


def merged(some: list[Closures]) -> Closures:
    """Those of several clips as one."""
    return Closures(
        np.concatenate([one.depths for one in some]),
        np.concatenate([one.delays for one in some]),
        sum(one.false_dips for one in some),
        sum(one.seconds for one in some),
    )


def shares(openings: np.ndarray) -> np.ndarray:
    """Openings (T,) as shares of the clip's open eye."""
    return np.asarray(openings / np.nanpercentile(openings, OPEN))


def delay(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Frames by which openings (T,) come later than the mesh's, where they correlate best; to a
    part of a frame by the parabola through the best and its neighbours."""
    fits = np.full(2 * LAGS + 1, -np.inf)
    for k in range(len(fits)):
        lag = k - LAGS
        a = ours[max(0, lag) : len(ours) + min(0, lag)]
        b = theirs[max(0, -lag) : len(theirs) + min(0, -lag)]
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() > 2 and min(a[known].std(), b[known].std()) > 1e-9:
            fits[k] = np.corrcoef(a[known], b[known])[0, 1]
    best = int(fits.argmax())
    if not np.isfinite(fits[best]):
        return float("nan")
    part = 0.0
    if 0 < best < len(fits) - 1:
        before, here, after = fits[best - 1 : best + 2]
        bend = before - 2 * here + after
        part = (before - after) / (2 * bend) if bend < 0 else 0.0
    return best - LAGS + part


def _least(share: np.ndarray, peak: int, reach: int) -> tuple[float, int]:
    """The least value within `reach` frames of a peak, and its frame; 1 where nothing is known."""
    first = max(0, peak - reach)
    part = share[first : peak + reach + 1]
    if not np.isfinite(part).any():
        return 1.0, peak
    deepest = int(np.nanargmin(part))
    # Of a lid that stays down the middle counts.
    level = np.flatnonzero(part <= part[deepest] + 0.03)
    return float(part[deepest]), first + int(np.median(level))


def _runs(true: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.diff(np.concatenate([[False], true, [False]]).astype(int))
    return list(
        zip(
            np.flatnonzero(edges == 1).tolist(),
            (np.flatnonzero(edges == -1) - 1).tolist(),
            strict=True,
        )
    )
