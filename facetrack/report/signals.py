"""What can be read off one face's tracks over time: head size, eyes, mouth, trembling.

All functions take positions (T, N, 2) in pixels, NaN where unknown, and the layout of the points.
"""

from __future__ import annotations

import numpy as np

from facetrack.landmarks.schemes import Scheme

KNOWN_SHARE = 0.9
"""The head's size needs so large a share of the points: a box around fewer is not the head's."""
SEGMENT = 64
"""Frames a stretch of the spectrum; half of it, or SHORTEST, where no point is seen for so long."""
SHORTEST = 16
"""A spectrum of fewer frames says nothing."""
VIEW_SECONDS = 0.6
"""A view on the face moves as the mean over so long: it must not tremble with the points."""


def head_size(xy: np.ndarray) -> np.ndarray:
    """(T,) pixels: sqrt(width x height) of the tight box around the points; NaN where more than
    a tenth of them is unknown."""
    box = boxes(xy)
    enough = np.isfinite(xy).all(-1).mean(-1) >= KNOWN_SHARE
    return np.where(enough, np.sqrt((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])), np.nan)


def eye_aspect_ratio(xy: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """(T,) mean over both eyes of the lids' distance over the eye's width (Soukupova and Cech,
    Real-Time Eye Blink Detection using Facial Landmarks, 2016); a blink is a short dip. None
    where a layout has no lids."""
    right, left = (_openness(xy, scheme, side) for side in ("right_eye", "left_eye"))
    return None if right is None or left is None else (right + left) / 2


def mouth_opening(xy: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """(T,) mean distance between the inner edges of the lips over the width between their
    corners; 0 when shut. None where a layout has no inner lips."""
    return _openness(xy, scheme, "inner_lips")


def spectrum(
    xy: np.ndarray, seen: np.ndarray, time: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Amplitude density of the seen points' motion (Welch's method, Hann window, linear trend of
    each stretch removed, mean over points and both axes).

    Stretches in which a point is hidden or unknown do not count for it. Frames are taken to be
    evenly spaced by the median interval.

    Args:
        xy: (T, N, 2) pixels.
        seen: (T, N) bool.
        time: (T,) seconds.
        scale: pixels that are 1 in the result, e.g. a hundredth of the inter-ocular distance.

    Returns:
        Frequencies (K,) in Hz, without 0, and amplitudes (K,) in units a square root of Hz; None
        where no stretch of SHORTEST frames is seen whole, or times do not rise.
    """
    from scipy.signal import periodogram

    frames = len(xy)
    steps = np.diff(time)
    if frames < SHORTEST or not np.median(steps) > 0 or not scale > 0:
        return None
    signal = np.where(seen[..., None], xy / scale, np.nan).reshape(frames, -1)
    for length in (min(SEGMENT, frames), SEGMENT // 2, SHORTEST):
        total, count = 0.0, 0
        hz: np.ndarray = np.empty(0)
        for start in range(0, frames - length + 1, length // 2):
            part = signal[start : start + length]
            part = part[:, np.isfinite(part).all(0)]
            if part.shape[1]:
                hz, power = periodogram(
                    part, 1 / np.median(steps), window="hann", detrend="linear", axis=0
                )
                total, count = total + power.sum(1), count + part.shape[1]
        if count:
            return hz[1:], np.sqrt(total / count)[1:]
    return None


def boxes(xy: np.ndarray) -> np.ndarray:
    """(T, 4) tight box x0, y0, x1, y1 around the known points; NaN where there is none."""
    known = np.isfinite(xy).all(-1, keepdims=True)
    low = np.where(known, xy, np.inf).min(1).astype(np.float64)
    high = np.where(known, xy, -np.inf).max(1).astype(np.float64)
    return np.where(known.any(1), np.concatenate([low, high], -1), np.nan)


def view(box: np.ndarray, time: np.ndarray, margin: float) -> np.ndarray | None:
    """A square that follows boxes (T, 4) calmly.

    Args:
        margin: the square's side in multiples of the box's longer one.

    Returns:
        (T, 3) centre x, y and side in pixels; None where no box is known.
    """
    known = np.isfinite(box).all(1)
    if not known.any():
        return None
    rows = np.arange(len(box))
    side = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    raw = np.stack([(box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2, side * margin], 1)
    filled = np.stack([np.interp(rows, rows[known], raw[known, k]) for k in range(3)], 1)
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    half = round(VIEW_SECONDS / 2 / step) if step > 0 else 0
    half = min(half, len(box) - 1)
    padded = np.pad(filled, ((half, half), (0, 0)), mode="reflect")
    kernel = np.full(2 * half + 1, 1 / (2 * half + 1))
    calm = np.stack([np.convolve(padded[:, k], kernel, mode="valid") for k in range(3)], 1)
    return np.asarray(np.maximum(calm, [-np.inf, -np.inf, 8.0]))


def _openness(xy: np.ndarray, scheme: Scheme, region: str) -> np.ndarray | None:
    """Mean height over width of a closed line whose first point and the one opposite are corners.

    In every layout such a line runs from one corner along the upper edge to the other and back.
    """
    line = next((x for x in scheme.lines if x.region == region and x.closed), None)
    if line is None:
        return None
    ring = xy[:, list(line.indices)]
    half = len(line.indices) // 2
    heights = [_length(ring[:, i] - ring[:, -i]) for i in range(1, half)]
    width = _length(ring[:, half] - ring[:, 0])
    return np.asarray(np.mean(heights, axis=0) / np.where(width > 0, width, np.nan))


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=-1))
