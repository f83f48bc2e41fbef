"""Measure faces given by landmarks: size, overlap and distance."""

from __future__ import annotations

import numpy as np

from facetrack.ops.similarity import fit_similarity

MIN_COUNTED_SHARE = 0.25
"""Share of the landmarks that must be known for a distance to mean anything."""


def inside_picture(xy: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return which points (..., 2) lie in a picture (H, W, ...); (...) bool, False for NaN."""
    return inside_size(xy, image.shape[1::-1])


def inside_size(xy: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return which points (..., 2) lie in a picture of a size (width, height); False for NaN."""
    return np.asarray(((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1))


def face_size(xy: np.ndarray) -> float:
    """Return the size in pixels of a face with landmarks (N, 2), NaN where unknown.

    The size is the geometric mean of width and height, which a turn of the head changes less than
    the distance of the eyes. At least 1; NaN if no landmark is known.
    """
    known = xy[np.isfinite(xy).all(-1)]
    if not len(known):
        return float("nan")
    return max(1.0, float(np.sqrt(np.prod(np.maximum(np.ptp(known, 0), 1e-3)))))


def error_unit(xy: np.ndarray) -> np.ndarray:
    """Return the units (M,) of the errors of 68-point landmarks (M, 68, 2), in pixels.

    The unit is the distance of the outer eye corners, but at least half of the larger side of the
    box around all points: in profile the corners come close to each other.
    """
    corners = np.linalg.norm(xy[:, 36] - xy[:, 45], axis=-1)
    return np.asarray(np.maximum(corners, 0.5 * np.ptp(xy, axis=1).max(-1)))


def faces_overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether the centres of two faces (N, 2) are closer than the size of the larger one.

    The larger one counts, because the points of a face that a tracker loses often shrink. False if
    no landmark of a face is known.
    """
    if not (np.isfinite(first).any() and np.isfinite(second).any()):
        return False
    distance = np.linalg.norm(np.nanmean(first, 0) - np.nanmean(second, 0))
    return bool(distance < max(face_size(first), face_size(second)))


def landmark_distance(xy: np.ndarray, reference: np.ndarray, counted: np.ndarray) -> float:
    """Return the mean distance of landmarks in sizes of the reference face.

    Args:
        xy, reference: (N, 2) pixels, NaN where unknown.
        counted: (N,) bool, the landmarks that count.

    Returns:
        The mean over the counted landmarks known in both; infinite if these are fewer than
        MIN_COUNTED_SHARE of all.
    """
    counted = _known(xy, reference, counted)
    if counted.mean() < MIN_COUNTED_SHARE:
        return float("inf")
    distance = np.linalg.norm(xy[counted] - reference[counted], axis=-1).mean()
    return float(distance / face_size(reference))


def view_distance(xy: np.ndarray, reference: np.ndarray, counted: np.ndarray) -> float:
    """Return by how much the views of a head differ in two pictures of it.

    That is the median distance of its landmarks after the similarity that brings the reference
    nearest to `xy`: a turn of the head moves all of them beside each other, a mouth that opens only
    some.

    Args:
        xy, reference, counted: as in `landmark_distance`.

    Returns:
        The distance in sizes of the reference face, 0.03 to 0.05 for a head that has turned by 20
        degrees; infinite if fewer than MIN_COUNTED_SHARE of the landmarks count.
    """
    counted = _known(xy, reference, counted)
    if counted.mean() < MIN_COUNTED_SHARE:
        return float("inf")
    matrix, shift = fit_similarity(reference[counted], xy[counted])
    distance = np.linalg.norm(xy[counted] - (reference[counted] @ matrix.T + shift), axis=-1)
    return float(np.median(distance) / face_size(reference))


def _known(xy: np.ndarray, reference: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return which of the counted landmarks (N,) are known in both faces."""
    return np.asarray(counted & np.isfinite(xy).all(-1) & np.isfinite(reference).all(-1))
