"""Sizes of and distances between faces given by landmarks."""

from __future__ import annotations

import numpy as np


def face_size(xy: np.ndarray) -> float:
    """Size in pixels of a face with landmarks (N, 2): the geometric mean of their extents, which
    a turn of the head changes less than the distance of the eyes. NaN where none is known."""
    known = xy[np.isfinite(xy).all(-1)]
    if not len(known):
        return float("nan")
    return max(1.0, float(np.sqrt(np.prod(np.maximum(np.ptp(known, 0), 1e-3)))))


def faces_overlap(xy: np.ndarray, there: np.ndarray) -> bool:
    """Whether the middles of two sets of landmarks are within the size of the larger face: what a
    tracker makes of a face that it loses often shrinks."""
    if not (np.isfinite(xy).any() and np.isfinite(there).any()):
        return False
    away = np.linalg.norm(np.nanmean(xy, 0) - np.nanmean(there, 0))
    return bool(away < max(face_size(xy), face_size(there)))


def landmark_distance(one: np.ndarray, other: np.ndarray, counted: np.ndarray) -> float:
    """Mean distance of landmarks (N, 2) in shares of the face's size, over those that are `counted`
    (N,) and known in both; infinite where there are fewer than a quarter."""
    counted = counted & np.isfinite(one).all(-1) & np.isfinite(other).all(-1)
    if counted.mean() < 0.25:
        return float("inf")
    distance = np.linalg.norm(one[counted] - other[counted], axis=-1).mean()
    return float(distance / face_size(other))
