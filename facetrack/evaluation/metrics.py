"""Standard error measures of landmarks and tracks.

Positions are pixels of an image. All measures depend only on differences, so any origin works if
predictions and ground truth share it. N is the number of landmarks, `...` any leading axes (frames,
faces).

A landmark whose ground truth is NaN is not annotated and does not count. A landmark that is
annotated but predicted as NaN makes its face's error NaN in the NME functions, because leaving it
out would reward missing predictions. `failure_rate` and `auc` then count the face as failed, and
the point tracking measures count the point as wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a 256 x 256 image (TAP-Vid)
_TAPVID_SIDE = 256

FAILURE_IC = 10.0  # per cent of the distance between the outer eye corners
AUC_IC = 10.0
AUC_BOX = 7.0  # per cent of the size of the box


class PointTracking(NamedTuple):
    """TAP-Vid's three measures over all evaluated points, each in [0, 1].

    Attributes:
        delta_avg: fraction of truly visible points within 1, 2, 4, 8 and 16 px, averaged.
        occlusion_accuracy: fraction of points whose visibility is correct.
        average_jaccard: true positives / (truly visible + false positives), averaged over the
            same five distances.
    """

    delta_avg: float
    occlusion_accuracy: float
    average_jaccard: float


Nme = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Returns the errors (...) of predicted and true landmarks (..., N, 2) in per cent."""


def nme_ic(predicted: np.ndarray, truth: np.ndarray, eye_corners: tuple[int, int]) -> np.ndarray:
    """Return the NME relative to the distance between the outer eye corners, in per cent.

    Args:
        predicted, truth: (..., N, 2).
        eye_corners: the two landmarks, `Scheme.eye_corners`.

    Returns:
        (...) one NME per face; NaN as described in the module, and if a corner is not annotated.
    """
    right, left = eye_corners
    return _nme(predicted, truth, _norm(truth[..., left, :] - truth[..., right, :]))


def nme_box(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the NME relative to sqrt(w h) of the tight box around the ground truth, in per cent.

    Shapes as in `nme_ic`. Landmarks that are not annotated do not widen the box.
    """
    sides = _box_sides(truth)
    return _nme(predicted, truth, np.sqrt(sides[..., 0] * sides[..., 1]))


def nme_diag(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the NME relative to the diagonal of the box around the ground truth, in per cent."""
    return _nme(predicted, truth, _norm(_box_sides(truth)))


def has_unit(nme: Nme, truth: np.ndarray) -> np.ndarray:
    """Return where an NME is defined (...), given that all landmarks are predicted.

    Faces without a unit, such as those whose eye corners are not annotated, say nothing of a
    prediction.

    Args:
        truth: (..., N, 2), NaN if not annotated.
    """
    return np.isfinite(nme(truth, truth))


def mean_nme(nme: np.ndarray) -> float:
    """Return the mean over the faces whose error is not NaN; NaN if there are none.

    Report it with the number of faces that are NaN, or with `failure_rate`, which counts them.
    """
    finite = nme[np.isfinite(nme)]
    return float(finite.mean()) if finite.size else float("nan")


def failure_rate(nme: np.ndarray, threshold: float = FAILURE_IC) -> float:
    """Return the fraction of faces whose NME is above `threshold` per cent; NaN is a failure.

    The fraction of no faces is NaN. Leave out faces without a unit: see `has_unit`.
    """
    return float((~(nme <= threshold)).mean()) if np.size(nme) else float("nan")


def auc(nme: np.ndarray, limit: float) -> float:
    """Return the area under the cumulative error curve up to `limit`, divided by `limit`.

    The curve is the fraction of faces whose NME is at most e. Its area is exact, not sampled. NaN
    counts as an infinite error. `AUC_BOX` is the usual limit for the box, `AUC_IC` for the eye
    corners.

    Args:
        nme: any shape, one value per face, per cent.
        limit: per cent, above 0.

    Returns:
        In [0, 1]; NaN of no faces.
    """
    if not limit > 0:
        raise ValueError(f"limit must be above 0, not {limit}")
    # Each face adds a step of height 1 / faces from its own error up to the limit.
    error = np.where(np.isnan(nme), np.inf, nme)
    if not error.size:
        return float("nan")
    return float(np.clip(1 - error / limit, 0, 1).mean())


def point_tracking(
    predicted: np.ndarray,
    predicted_visible: np.ndarray,
    truth: np.ndarray,
    truth_visible: np.ndarray,
    size: tuple[int, int],
    evaluated: np.ndarray | None = None,
) -> PointTracking:
    """Compute TAP-Vid's measures (arXiv 2211.03726) of a video.

    Each axis is first scaled to 256 pixels. TAP-Vid averages over the videos of a data set: call
    this function for each video and average the results.

    Args:
        predicted, truth: (T, ..., N, 2) pixels. A predicted NaN counts as infinitely far away.
        predicted_visible, truth_visible: (T, ..., N) bool. A truly hidden point needs no position.
        size: (width, height) of the frames.
        evaluated: (T, ..., N) bool, the points that count; None for all. TAP-Vid leaves out the
            frame of the query, see `after_query`. A truly visible point without a position never
            counts.

    Returns:
        The measures; NaN if no point counts.
    """
    counted = np.ones(truth_visible.shape, bool) if evaluated is None else np.asarray(evaluated)
    annotated = np.isfinite(truth).all(-1) | ~truth_visible
    counted = np.broadcast_to(counted, truth_visible.shape) & annotated
    scale = _TAPVID_SIDE / np.asarray(size, np.float64)
    distance = _norm((predicted.astype(np.float64) - truth) * scale)

    seen = truth_visible & counted
    claimed = predicted_visible & counted
    within, jaccard = [], []
    for threshold in THRESHOLDS:
        # Comparisons with NaN, the distance of hidden or lost points, are False.
        close = distance < threshold
        within.append(_share((close & seen).sum(), seen.sum()))
        true_positives = (close & seen & claimed).sum()
        false_positives = (claimed & ~(close & truth_visible)).sum()
        jaccard.append(_share(true_positives, seen.sum() + false_positives))
    right = (predicted_visible == truth_visible) & counted
    return PointTracking(
        delta_avg=float(np.mean(within)),
        occlusion_accuracy=_share(right.sum(), counted.sum()),
        average_jaccard=float(np.mean(jaccard)),
    )


def after_query(frames: int, query_frame: np.ndarray | int, both_ways: bool = False) -> np.ndarray:
    """Return the frames that TAP-Vid evaluates for points queried in `query_frame`.

    Args:
        frames: T.
        query_frame: 0-based frame of the query, for all points or as an array of shape (..., N).
        both_ways: False for the frames after the query ("first" in TAP-Vid), True for those before
            it too ("strided"); the query's own frame never counts.

    Returns:
        (T, ..., N) bool, or (T,) for one query frame; use `[:, None]` to apply that to N points.
    """
    query = np.asarray(query_frame)
    time = np.arange(frames).reshape(frames, *[1] * query.ndim)
    return time != query if both_ways else time > query


def jitter(
    track: np.ndarray, interocular: np.ndarray | float, truth: np.ndarray | None = None
) -> float:
    """Return the mean norm of the second difference in time, over the inter-ocular distance.

    Without ground truth, real accelerations of the face contribute too. With ground truth, it is
    the second difference of the error, to which only the tracker's jitter contributes.

    Args:
        track: (T, ..., N, 2) pixels of frames at a constant rate.
        interocular: in pixels, a number, or one per frame and face (T, ...).
        truth: of the shape of `track`, or None.

    Returns:
        Jitter in inter-ocular distances per frame squared. Second differences with a NaN in any of
        their three frames do not count; NaN if none is left (also for T < 3).
    """
    moving = track.astype(np.float64) if truth is None else track.astype(np.float64) - truth
    acceleration = _norm(moving[2:] - 2 * moving[1:-1] + moving[:-2])
    scale = np.asarray(interocular, np.float64)
    # The distance of the middle frame, with an axis for the points.
    return _mean(acceleration / (scale[1:-1, ..., None] if scale.ndim else scale))


def cycle_error(start: np.ndarray, back: np.ndarray, interocular: np.ndarray | float) -> float:
    """Return the mean distance of points to their start after tracking forward and backward.

    Args:
        start: (..., N, 2) pixels in the first frame.
        back: (..., N, 2) the same points in the first frame after tracking back.
        interocular: in pixels, a number, or one per face (...).

    Returns:
        Mean distance over the inter-ocular distance. Points that are NaN in either do not count;
        NaN if none is left.
    """
    scale = np.asarray(interocular, np.float64)
    distance = _norm(back.astype(np.float64) - start)
    return _mean(distance / (scale[..., None] if scale.ndim else scale))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(vectors.astype(np.float64)).sum(-1))


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else float("nan")


def _box_sides(truth: np.ndarray) -> np.ndarray:
    """Return width and height (..., 2) of the box around the annotated landmarks, or NaN."""
    known = np.isfinite(truth).all(-1, keepdims=True)
    high = np.where(known, truth, -np.inf).max(-2)
    low = np.where(known, truth, np.inf).min(-2)
    return np.where(known.any(-2), high, np.nan) - np.where(known.any(-2), low, np.nan)


def _nme(predicted: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted is {predicted.shape}, truth {truth.shape}")
    annotated = np.isfinite(truth).all(-1)
    error = np.where(annotated, _norm(predicted.astype(np.float64) - truth), 0)
    count = annotated.sum(-1)
    # The error is undefined for a face without annotated landmarks or without extent.
    usable = (count > 0) & (scale > 0)
    mean = error.sum(-1) / np.maximum(count, 1)
    return np.where(usable, 100 * mean / np.where(usable, scale, 1), np.nan)
