"""Signals of one face's tracks over time: head size, eye and mouth opening, jitter spectrum.

All functions take positions (T, N, 2) in pixels, NaN if unknown, and the layout of the points.
"""

from __future__ import annotations

import numpy as np

from facetrack.landmarks.schemes import Scheme

MIN_KNOWN_SHARE = 0.9
"""Minimum fraction of known points for the head size; a box around fewer is not the head's."""
SEGMENT_FRAMES = 64
"""Frames per segment of the spectrum. Half of it, or MIN_SEGMENT_FRAMES, if no point is visible for
so long."""
MIN_SEGMENT_FRAMES = 16
"""Minimum number of frames of a meaningful spectrum."""
VIEW_SECONDS = 0.6
"""Duration of the moving average that a view follows, so that it does not shake with the points."""


def head_size(xy: np.ndarray) -> np.ndarray:
    """Return sqrt(width x height) of the tight box around the points, (T,) in pixels.

    It is NaN if more than a tenth of the points is unknown.
    """
    box = boxes(xy)
    enough = np.isfinite(xy).all(-1).mean(-1) >= MIN_KNOWN_SHARE
    return np.where(enough, np.sqrt((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])), np.nan)


def eye_aspect_ratio(xy: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """Return the eye aspect ratio (T,): the lids' distance over the eye's width, mean of both eyes.

    A blink is a short dip. None if the layout has no lids. Soukupova and Cech, Real-Time Eye Blink
    Detection using Facial Landmarks, 2016.
    """
    right, left = (_openness(xy, scheme, side) for side in ("right_eye", "left_eye"))
    return None if right is None or left is None else (right + left) / 2


def mouth_opening(xy: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """Return the mean distance of the inner lips over the distance of their corners, (T,).

    It is 0 if the mouth is shut. None if the layout has no inner lips.
    """
    return _openness(xy, scheme, "inner_lips")


def spectrum(
    xy: np.ndarray, seen: np.ndarray, time: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Estimate the amplitude density of the visible points' motion by Welch's method.

    It uses a Hann window and removes each segment's linear trend; the result is the mean over
    points and both axes. Segments in which a point is hidden or unknown do not count for this
    point. Frames are treated as evenly spaced by the median interval.

    Args:
        xy: (T, N, 2) pixels.
        seen: (T, N) bool.
        time: (T,) seconds.
        scale: pixels per unit of the result, e.g. a hundredth of the inter-ocular distance.

    Returns:
        Frequencies (K,) in Hz, without 0, and amplitudes (K,) in units per square root of Hz. None
        if no point is visible for MIN_SEGMENT_FRAMES frames, or if times do not increase.
    """
    from scipy.signal import periodogram

    frames = len(xy)
    steps = np.diff(time)
    if frames < MIN_SEGMENT_FRAMES or not np.median(steps) > 0 or not scale > 0:
        return None
    signal = np.where(seen[..., None], xy / scale, np.nan).reshape(frames, -1)
    for length in (min(SEGMENT_FRAMES, frames), SEGMENT_FRAMES // 2, MIN_SEGMENT_FRAMES):
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
    """Return the tight boxes (T, 4) x0, y0, x1, y1 around the known points; NaN without any."""
    known = np.isfinite(xy).all(-1, keepdims=True)
    low = np.where(known, xy, np.inf).min(1).astype(np.float64)
    high = np.where(known, xy, -np.inf).max(1).astype(np.float64)
    return np.where(known.any(1), np.concatenate([low, high], -1), np.nan)


def view(box: np.ndarray, time: np.ndarray, margin: float) -> np.ndarray | None:
    """Return a square that follows boxes smoothly.

    Args:
        box: (T, 4) x0, y0, x1, y1 in pixels, NaN if unknown.
        time: (T,) seconds.
        margin: the square's side in multiples of the box's longer side.

    Returns:
        (T, 3) centre x, y and side in pixels; None if no box is known.
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
    smoothed = np.stack([np.convolve(padded[:, k], kernel, mode="valid") for k in range(3)], 1)
    return np.asarray(np.maximum(smoothed, [-np.inf, -np.inf, 8.0]))


def _openness(xy: np.ndarray, scheme: Scheme, region: str) -> np.ndarray | None:
    """Return the mean height over the width of a closed line, (T,); None without such a line.

    In every layout such a line runs from a corner along the upper edge to the other corner and
    back, so its first point and the point opposite are the corners.
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
