"""Smooth signals in time without lag.

A smoothed signal minimises its squared distance from the data plus a penalty on its second
differences (Whittaker, 1923; Eilers, Analytical Chemistry 2003). Generalised cross-validation
chooses the penalty (Craven and Wahba, 1979) for each part of a few seconds by itself, so a still
head is smoothed much and a quick nod hardly. The method looks both ways in time, so nothing comes
late.
"""

from __future__ import annotations

import numpy as np

WINDOW = 128
"""Frames of a part; parts overlap by half and are blended."""
MIN_FRAMES = 8
"""Shorter runs stay as they are."""
PENALTIES = 10.0 ** np.arange(-1.5, 6.1, 0.5)
SPIKE = 6.0
"""Distance from the median of five frames, in its usual size, above which a value is a spike."""


def smooth(values: np.ndarray) -> np.ndarray:
    """Smooth signals (T, D) of consecutive frames, each by itself; all values are finite."""
    values = np.asarray(values, float)
    if len(values) < MIN_FRAMES:
        return values
    values = _without_spikes(values)
    if len(values) <= WINDOW:
        return _smooth_part(values)
    half = WINDOW // 2
    total, weight = np.zeros_like(values), np.zeros((len(values), 1))
    last = len(values) - WINDOW
    for start in [*range(0, last, half), last]:
        ramp = np.minimum(np.arange(1, WINDOW + 1), np.arange(WINDOW, 0, -1))[:, None]
        total[start : start + WINDOW] += ramp * _smooth_part(values[start : start + WINDOW])
        weight[start : start + WINDOW] += ramp
    return np.asarray(total / weight)


def runs_of(known: np.ndarray) -> list[slice]:
    """Return the runs of True in (T,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _smooth_part(values: np.ndarray) -> np.ndarray:
    from scipy.linalg import solveh_banded

    count = len(values)
    second = np.diff(np.eye(count), 2, axis=0)
    square = second.T @ second
    bands = np.zeros((3, count))
    for offset in range(3):
        bands[2 - offset, offset:] = np.diagonal(square, offset)
    # The eigenvalues are close to those of the cosine transform.
    eigenvalues = (2 - 2 * np.cos(np.pi * np.arange(count) / count)) ** 2
    best, lowest = values, np.full(values.shape[1], np.inf)
    for penalty in PENALTIES:
        system = penalty * bands
        system[2] += 1
        fitted = solveh_banded(system, values)
        free = count - (1 / (1 + penalty * eigenvalues)).sum()
        score = count * ((values - fitted) ** 2).sum(0) / free**2
        best = np.where(score < lowest, fitted, best)
        lowest = np.minimum(score, lowest)
    return np.asarray(best)


def _without_spikes(values: np.ndarray) -> np.ndarray:
    """Replace values of single frames that are far from their neighbours by the median."""
    padded = np.pad(values, ((2, 2), (0, 0)), mode="reflect")
    around = np.stack([padded[k : k + len(values)] for k in range(5)])
    middle = np.median(around, axis=0)
    off = np.abs(values - middle)
    usual = 1.4826 * np.median(np.abs(around - middle), axis=0)
    floor = np.percentile(off, 75, axis=0)
    return np.where(off > SPIKE * np.maximum(usual, floor) + 1e-12, middle, values)
