"""Compare the eye closures that landmarks show with closures that were annotated by hand.

The opening of the eyes is the mean distance of the lids, in distances of the outer eye corners. A
clip's open eye is the 95th percentile of it. A closure is found where the opening falls below 0.6
of that within 2 frames of the annotated peak, and complete where it falls below 0.3. A false dip is
a run of frames below 0.6 that is near no annotated closure and in which the eyes of MediaPipe's
mesh stay open.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OPEN_PERCENTILE = 95.0
"""Percentile of a clip's openings that counts as its open eye."""
MAX_FOUND_OPENING = 0.6
"""Share of the open eye below which a closure is found."""
FOUND_FRAMES, TIMING_FRAMES = 2, 4
"""Frames on each side of a peak that are searched for a closure, and for its deepest frame."""
MAX_SHUT_OPENING = 0.3
"""Share of the open eye below which a closure is complete."""
MIN_OPEN_OPENING = 0.75
"""Share of the open eye above which the mesh contradicts a dip."""
MAX_LAG = 5
"""Maximum shift in frames between a method's opening and the mesh's."""


class Closures(NamedTuple):
    """Figures of one method on the closures of one or several clips.

    Attributes:
        depths: share of the open eye at each peak: the minimum within FOUND_FRAMES.
        delays: frames from the peak to the deepest frame, for each closure that was found.
        false_dips: number of false dips.
        seconds: total duration.
    """

    depths: np.ndarray
    delays: np.ndarray
    false_dips: int
    seconds: float

    @property
    def found(self) -> int:
        """Number of closures that were found."""
        return int((self.depths < MAX_FOUND_OPENING).sum())

    @property
    def complete(self) -> int:
        """Number of closures that are complete."""
        return int((self.depths < MAX_SHUT_OPENING).sum())

    def row(self) -> str:
        """Format found, complete, depth, timing and false dips as table cells."""
        deep = f"{np.median(self.depths):.2f}" if len(self.depths) else "-"
        off = f"{np.abs(self.delays).mean():.1f}" if len(self.delays) else "-"
        minute = 60 * self.false_dips / self.seconds
        return (
            f"{self.found} of {len(self.depths)} | {self.complete} | {deep} | {off} | {minute:.1f}"
        )


def measure_closures(
    openings: np.ndarray, mesh: np.ndarray | None, peaks: list[int], seconds: float
) -> Closures:
    """Compare openings with the annotated peaks of closures.

    Args:
        openings: (T,) the method's openings, NaN where the face is unknown.
        mesh: (T,) the mesh's openings, which may show closures that were not annotated.
        peaks: 0-based frames.
        seconds: duration of the clip.
    """
    share = relative_openings(openings)
    depths, delays = [], []
    for peak in peaks:
        depths.append(_minimum(share, peak, FOUND_FRAMES)[0])
        if depths[-1] < MAX_FOUND_OPENING:
            delays.append(_minimum(share, peak, TIMING_FRAMES)[1] - peak)
    mesh_share = relative_openings(mesh) if mesh is not None else np.ones_like(share)
    false = 0
    for first, last in _find_runs(share < MAX_FOUND_OPENING):
        annotated = any(first - TIMING_FRAMES <= peak <= last + TIMING_FRAMES for peak in peaks)
        around = mesh_share[max(0, first - FOUND_FRAMES) : last + FOUND_FRAMES + 1]
        if not annotated and np.isfinite(around).any() and np.nanmin(around) > MIN_OPEN_OPENING:
            false += 1
    return Closures(np.array(depths), np.array(delays), false, seconds)


def merge(clips: list[Closures]) -> Closures:
    """Combine the figures of several clips."""
    return Closures(
        np.concatenate([clip.depths for clip in clips]),
        np.concatenate([clip.delays for clip in clips]),
        sum(clip.false_dips for clip in clips),
        sum(clip.seconds for clip in clips),
    )


def relative_openings(openings: np.ndarray) -> np.ndarray:
    """Divide openings (T,) by the clip's open eye."""
    return np.asarray(openings / np.nanpercentile(openings, OPEN_PERCENTILE))


def estimate_delay(openings: np.ndarray, mesh: np.ndarray) -> float:
    """Return the shift in frames at which openings (T,) correlate best with the mesh's (T,).

    Positive values mean that the openings come later. A parabola through the best shift and its
    neighbours gives a fraction of a frame.
    """
    correlations = np.full(2 * MAX_LAG + 1, -np.inf)
    for k in range(len(correlations)):
        lag = k - MAX_LAG
        a = openings[max(0, lag) : len(openings) + min(0, lag)]
        b = mesh[max(0, -lag) : len(mesh) + min(0, -lag)]
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() > 2 and min(a[known].std(), b[known].std()) > 1e-9:
            correlations[k] = np.corrcoef(a[known], b[known])[0, 1]
    best = int(correlations.argmax())
    if not np.isfinite(correlations[best]):
        return float("nan")
    fraction = 0.0
    if 0 < best < len(correlations) - 1:
        before, here, after = correlations[best - 1 : best + 2]
        bend = before - 2 * here + after
        fraction = (before - after) / (2 * bend) if bend < 0 else 0.0
    return best - MAX_LAG + fraction


def _minimum(share: np.ndarray, peak: int, reach: int) -> tuple[float, int]:
    """Return the minimum within `reach` frames of a peak, and its frame; 1 if all are unknown."""
    first = max(0, peak - reach)
    part = share[first : peak + reach + 1]
    if not np.isfinite(part).any():
        return 1.0, peak
    deepest = int(np.nanargmin(part))
    # While a lid stays down, its middle frame counts as the deepest.
    level = np.flatnonzero(part <= part[deepest] + 0.03)
    return float(part[deepest]), first + int(np.median(level))


def _find_runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last index of each run of True."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(int))
    return list(
        zip(
            np.flatnonzero(edges == 1).tolist(),
            (np.flatnonzero(edges == -1) - 1).tolist(),
            strict=True,
        )
    )
