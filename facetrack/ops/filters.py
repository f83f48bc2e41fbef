"""Filters of points over time: smoothing, interpolation, resampling.

Arrays are (T, ...): T frames, NaN where a value is unknown. Every series is filtered on its own. A
value that is unknown splits a series into runs, and stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

SPEED_CUTOFF = 1.0
"""Cut-off frequency in Hz of the speed in the 1 EUR filter: that of its paper."""


def savgol(values: np.ndarray, window: int, order: int, breaks: Sequence[int] = ()) -> np.ndarray:
    """Smooth with a Savitzky-Golay filter: a polynomial is fitted around each frame.

    Frames count as evenly spaced. A run shorter than the window gets a shorter window, and stays as
    it is if it is too short for the polynomial.

    Args:
        values: (T, ...) values, NaN where unknown.
        window: number of frames, odd.
        order: degree of the polynomial, less than `window`.
        breaks: indices of frames before which nothing is smoothed across, e.g. cuts.

    Returns:
        (T, ...) float64.

    Reference: Savitzky and Golay, Smoothing and Differentiation of Data by Simplified Least Squares
    Procedures, Analytical Chemistry 1964.
    """
    from scipy.signal import savgol_filter

    smooth = np.array(values, np.float64)
    if not smooth.size:
        return smooth
    flat = smooth.reshape(len(smooth), -1)
    for columns, start, stop in _runs(flat, breaks):
        length = min(window, stop - start - (stop - start + 1) % 2)
        if length > order:
            run = np.ascontiguousarray(flat[start:stop, columns])
            flat[start:stop, columns] = savgol_filter(run, length, order, axis=0)
    return smooth


def one_euro(
    values: np.ndarray,
    time: np.ndarray,
    min_cutoff: float,
    beta: float,
    breaks: Sequence[int] = (),
) -> np.ndarray:
    """Smooth with the 1 EUR filter, which uses no later frames.

    A low-pass filter whose cut-off frequency rises with the speed: slow motion is smoothed, fast
    motion lags little. Each run starts anew.

    Args:
        values: (T, ...) values, NaN where unknown.
        time: (T,) seconds, increasing.
        min_cutoff: cut-off frequency at rest, in Hz; lower is smoother.
        beta: how fast the cut-off rises with the speed, in Hz per unit a second.
        breaks: see `savgol`.

    Returns:
        (T, ...) float64.

    Reference: Casiez et al., 1 EUR Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems, CHI 2012.
    """
    smooth = np.array(values, np.float64)
    cuts = set(breaks)
    speed = np.zeros(smooth.shape[1:])
    for row in range(1, len(smooth)):
        interval = max(float(time[row] - time[row - 1]), 1e-6)
        previous, current = smooth[row - 1], smooth[row]
        starts = np.isnan(previous) | (row in cuts)
        raw_speed = (current - previous) / interval
        weight = _low_pass_weight(SPEED_CUTOFF, interval)
        speed = weight * raw_speed + (1 - weight) * speed
        speed = np.where(starts | np.isnan(speed), 0.0, speed)
        weight = _low_pass_weight(min_cutoff + beta * np.abs(speed), interval)
        smooth[row] = np.where(starts, current, weight * current + (1 - weight) * previous)
    return smooth


def _low_pass_weight(cutoff: np.ndarray | float, interval: float) -> np.ndarray:
    """Return the weight of the newest value of an exponential low-pass filter."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * interval)))


def interpolate(
    values: np.ndarray, time: np.ndarray, max_gap: float, method: str = "linear"
) -> np.ndarray:
    """Fill gaps between two known values.

    Args:
        values: (T, ...) values, NaN where unknown.
        time: (T,) seconds, increasing.
        max_gap: longest gap that is filled, in seconds between the known values at its ends.
        method: "linear", or "pchip" for a monotone cubic curve through all known values.

    Returns:
        (T, ...) float64. What comes before the first known value and after the last one stays.
    """
    from scipy.interpolate import PchipInterpolator

    filled = np.array(values, np.float64)
    if not filled.size:
        return filled
    flat = filled.reshape(len(filled), -1)
    for column in flat.T:
        known = np.flatnonzero(np.isfinite(column))
        missing = np.flatnonzero(np.isnan(column))
        if len(known) < 2 or not len(missing):
            continue
        after = np.searchsorted(known, missing)
        inside = (after > 0) & (after < len(known))
        missing, after = missing[inside], after[inside]
        short = time[known[after]] - time[known[after - 1]] <= max_gap + 1e-9
        missing = missing[short]
        if method == "pchip":
            column[missing] = PchipInterpolator(time[known], column[known])(time[missing])
        else:
            column[missing] = np.interp(time[missing], time[known], column[known])
    return filled


def resample(values: np.ndarray, time: np.ndarray, new_time: np.ndarray) -> np.ndarray:
    """Interpolate linearly at other times; unknown where a neighbour that counts is unknown.

    Args:
        values: (T, ...) values, NaN where unknown.
        time: (T,) seconds, increasing.
        new_time: (S,) seconds within the range of `time`.

    Returns:
        (S, ...) float64.
    """
    before, share = neighbours(time, new_time)
    after = np.minimum(before + 1, len(time) - 1)
    share = share.reshape(-1, *[1] * (np.ndim(values) - 1))
    early, late = np.asarray(values, np.float64)[before], np.asarray(values, np.float64)[after]
    mixed = early + share * (late - early)
    # At the very time of a frame, its neighbour does not matter.
    return np.where(share == 0, early, np.where(share == 1, late, mixed))


def neighbours(time: np.ndarray, new_time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frame before each new time, and the share (0 to 1) of the way to the next."""
    if len(time) < 2:
        return np.zeros(len(new_time), int), np.zeros(len(new_time))
    before = np.clip(np.searchsorted(time, new_time, side="right") - 1, 0, len(time) - 2)
    share = np.clip((new_time - time[before]) / (time[before + 1] - time[before]), 0.0, 1.0)
    share[share < 1e-6] = 0.0
    share[share > 1 - 1e-6] = 1.0
    return before, share


def _runs(flat: np.ndarray, breaks: Sequence[int]) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield the runs of known values: columns that share it, start and end (excluded).

    Columns with the same gaps are filtered together.
    """
    known = np.isfinite(flat)
    patterns, group_of = np.unique(known, axis=1, return_inverse=True)
    cuts = [cut for cut in sorted(set(breaks)) if 0 < cut < len(flat)]
    for group in range(patterns.shape[1]):
        columns = np.flatnonzero(group_of.reshape(-1) == group)
        is_known = patterns[:, group]
        changes = np.flatnonzero(np.diff(is_known.astype(np.int8))) + 1
        edges = sorted({0, len(flat), *changes.tolist(), *cuts})
        for start, stop in pairwise(edges):
            if is_known[start]:
                yield columns, start, stop
