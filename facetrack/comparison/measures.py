"""The measures of each method and their meaning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence

import numpy as np

from facetrack.comparison.results import Measure
from facetrack.evaluation import metrics
from facetrack.landmarks import schemes
from facetrack.tracks import Tracks

OF_FACE = "of the distance between the outer eye corners"
MEASURES: tuple[Measure, ...] = (
    Measure(
        "nrmse",
        "NRMSE",
        "%",
        "lower",
        2,
        f"Mean distance of the points from the ground truth, in % {OF_FACE}, over the frames in "
        "which every annotated point has a position.",
        True,
    ),
    Measure(
        "failure_rate",
        "FR",
        "%",
        "lower",
        1,
        "Share of annotated frames whose error is above 10 %, or in which a point is missing.",
        True,
    ),
    Measure(
        "auc",
        "AUC",
        "",
        "higher",
        3,
        "Area under the curve of the share of frames by their error, up to 10 %; 1 is perfect.",
        True,
    ),
    Measure(
        "delta_avg",
        "δ avg",
        "%",
        "higher",
        1,
        "Share of truly visible points within 1, 2, 4, 8 and 16 px in a 256 x 256 image, averaged "
        "(TAP-Vid).",
        True,
    ),
    Measure(
        "occlusion_accuracy",
        "OA",
        "%",
        "higher",
        1,
        "Share of points whose visibility is correct (TAP-Vid).",
        True,
    ),
    Measure(
        "average_jaccard",
        "AJ",
        "%",
        "higher",
        1,
        "TAP-Vid's average Jaccard: correctness of positions and visibility combined.",
        True,
    ),
    Measure(
        "expected_error",
        "expected error",
        "%",
        "lower",
        2,
        "A weak hint at the order without ground truth, often wrong about the best method: "
        "disagreement, jitter and cycle error, combined as a root of squares, in % "
        f"{OF_FACE}; a point without a position counts as 10 %.",
    ),
    Measure(
        "disagreement",
        "disagreement",
        "%",
        "lower",
        2,
        f"Mean distance of the points from the median of the other methods, in % {OF_FACE}.",
    ),
    Measure(
        "drift",
        "drift",
        "%",
        "lower",
        2,
        "Mean distance of the points from periodic detections by the method's own detector in the "
        f"same frame, in % {OF_FACE}.",
    ),
    Measure(
        "cycle",
        "cycle error",
        "%",
        "lower",
        2,
        "Mean distance of points from their start after tracking some frames forwards and back, "
        f"in % {OF_FACE}.",
    ),
    Measure(
        "jitter",
        "jitter",
        "%",
        "lower",
        3,
        f"Mean second difference of the points in time, in % {OF_FACE} per frame squared; it "
        "includes real accelerations of the face.",
    ),
    Measure(
        "visible",
        "visible",
        "%",
        "",
        1,
        "Share of points that the method reports as visible; a higher value is not better if "
        "something covers the face.",
    ),
    Measure(
        "missing",
        "missing",
        "%",
        "lower",
        1,
        "Share of points without a position, because the face was not found or was lost.",
    ),
    Measure(
        "detections_failed",
        "detections failed",
        "",
        "lower",
        0,
        "Number of times the init's detector found nothing when it ran again to measure drift.",
    ),
    Measure(
        "fps",
        "speed",
        "fps",
        "higher",
        1,
        "Frames per second of tracking in this run, with work that methods share divided evenly "
        "among them; without reading the video, drawing and writing.",
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
MISSING_ERROR = metrics.FAILURE_IC
"""Error in % that a point without a position counts as in the expected error: that of a failure."""
WHITE_NOISE_JITTER = np.sqrt(6.0)
"""Standard deviation of the second difference of white noise with standard deviation 1."""


def face_size(xy: np.ndarray, scheme: schemes.Scheme) -> np.ndarray:
    """Return the size of the face: the distance between the outer eye corners.

    For layouts without eye corners, it is the geometric mean of the sides of the box around the
    points.

    Args:
        xy: (..., N, 2) pixels.
        scheme: the points' layout.

    Returns:
        (...) in pixels; NaN if unknown.
    """
    if scheme.eye_corners is not None:
        right, left = scheme.eye_corners
        size = np.linalg.norm(xy[..., left, :].astype(float) - xy[..., right, :], axis=-1)
    else:
        size = np.sqrt(np.ptp(xy.astype(float), axis=-2).prod(-1))
    return np.asarray(np.where(size > 0, size, np.nan))


def distance(xy: np.ndarray, other: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the distances (..., N) between points (..., N, 2) in per cent of `size` (...).

    It is NaN if either point is unknown.
    """
    return np.asarray(100 * np.linalg.norm(xy.astype(float) - other, axis=-1) / size[..., None])


def consensus_size(tracks: Sequence[Tracks]) -> np.ndarray:
    """Return the size of the face (T,) in pixels, by the median of methods of the same layout.

    In frames where no method has it, it is the median over time.
    """
    scheme = schemes.get(tracks[0].scheme)
    middle = quiet_median(np.stack([t.xy[:, 0] for t in tracks]))
    size = face_size(middle, scheme)
    return np.where(np.isfinite(size), size, quiet_median(size))


def disagreement(tracks: Sequence[Tracks], size: np.ndarray) -> list[np.ndarray]:
    """Return each method's distance to the median of the other methods.

    Args:
        tracks: of each method.
        size: (T,) of the face in pixels.

    Returns:
        (T, N) per method, in per cent of `size`; NaN if a position is unknown or no other method
        has one.
    """
    xy = np.stack([t.xy[:, 0] for t in tracks]).astype(float)
    if len(xy) < 2:
        return [np.full(xy.shape[1:3], np.nan)]
    others = [quiet_median(np.delete(xy, i, 0)) for i in range(len(xy))]
    return [distance(*pair, size) for pair in zip(xy, others, strict=True)]


def jitter(tracks: Tracks, size: np.ndarray) -> float:
    """Return the jitter of visible points in per cent of the face's size (T,) per frame squared."""
    xy = np.where(tracks.visible[:, 0, :, None], tracks.xy[:, 0], np.nan)
    return 100 * metrics.jitter(xy, size)


def cycle(start: np.ndarray, back: np.ndarray, scheme: schemes.Scheme) -> float:
    """Return the cycle error in per cent, from points (N, 2) at the start and after the cycle."""
    return 100 * metrics.cycle_error(start, back, float(face_size(start, scheme)))


def expected_error(
    disagreement: np.ndarray, missing: np.ndarray, jitter: float, cycle: float
) -> float:
    """Estimate a method's error without ground truth, in per cent; see `MEASURES`.

    The consensus of the methods stands in for the truth. A method's jitter shows in its second
    differences, and the loss of points in the cycle error. Both matter if there are few methods, or
    if methods fail together.

    The estimate is a weak hint. On four rendered clips with ERT, PIPNet and STAR, each with three
    trackers, the Kendall's tau of its order with that of the true errors was 0.22 (0.61 to -0.06).
    The error of the method it ranked first was 1.30 times that of the best method; a random choice
    gives 1.45 times. Without ground truth, errors that detectors share and an init's constant bias
    remain invisible. `benchmarks/accuracy/compare_ranking.py` measures this.

    Args:
        disagreement: (T, N) from `disagreement`; all NaN if there is no other method.
        missing: (T, N) bool, points without a position.
        jitter, cycle: per cent; NaN (a method that does not track) counts as 0.
    """
    error = np.where(missing, MISSING_ERROR, np.minimum(disagreement, MISSING_ERROR))
    noise = np.nan_to_num(jitter) / WHITE_NOISE_JITTER
    loss = np.nan_to_num(cycle) / 2  # a cycle has two ways
    squares = [np.nan_to_num(mean(error)) ** 2, noise**2, loss**2]
    return float(np.sqrt(np.sum(squares)))


def against_truth(
    tracks: Tracks, truth: np.ndarray, visible: np.ndarray | None, query_frame: int
) -> tuple[dict[str, float], np.ndarray]:
    """Compute the measures that need ground truth.

    Args:
        tracks: of the method.
        truth: (T, N, 2) pixels, NaN if not annotated.
        visible: (T, N) bool true visibility, or None. Without it there is no occlusion accuracy and
            no Jaccard, and all annotated points count as visible.
        query_frame: left out of TAP-Vid's measures, as usual.

    Returns:
        The measures by key, and the error (T,) in per cent. Measures of errors are NaN if no frame
        has a unit, as without annotated eye corners.
    """
    xy, scheme = tracks.xy[:, 0].astype(float), schemes.get(tracks.scheme)
    nme: metrics.Nme = metrics.nme_box
    if scheme.eye_corners is not None:
        nme = functools.partial(metrics.nme_ic, eye_corners=scheme.eye_corners)
    error = nme(xy, truth)
    known = np.isfinite(truth).all(-1)
    annotated = known.any(-1)
    counted = error[metrics.has_unit(nme, truth)]
    shown = known if visible is None else visible & known
    frames = metrics.after_query(len(tracks), query_frame, both_ways=True)[:, None]
    points = metrics.point_tracking(
        xy,
        tracks.visible[:, 0],
        truth,
        shown,
        tracks.size,
        # In an annotated frame, a point without a place is one that is truly hidden.
        frames & (known if visible is None else annotated[:, None]),
    )
    figures = {
        "nrmse": metrics.mean_nme(counted),
        "failure_rate": 100 * metrics.failure_rate(counted),
        "auc": metrics.auc(counted, metrics.AUC_IC),
        "delta_avg": 100 * points.delta_avg,
    }
    if visible is not None:
        figures["occlusion_accuracy"] = 100 * points.occlusion_accuracy
        figures["average_jaccard"] = 100 * points.average_jaccard
    return figures, error


def rank(labels: Sequence[str], values: Sequence[float], better: str) -> list[str]:
    """Sort labels by value, best first. NaN comes last, and equal values keep their order."""
    sign = 1.0 if better == "lower" else -1.0
    order = sorted(
        range(len(labels)),
        key=lambda i: np.inf if np.isnan(values[i]) else sign * values[i],
    )
    return [labels[i] for i in order]


def best(key: str, values: Sequence[float], digits: int) -> set[int]:
    """Return the indices of the best values of a measure, compared with `digits` decimals.

    The set is empty if the measure has no better direction or all values are equal.
    """
    better = BY_KEY[key].better
    shown = [round(value, digits) for value in values]
    known = [value for value in shown if not np.isnan(value)]
    if not better or len(set(known)) < 2:
        return set()
    top = min(known) if better == "lower" else max(known)
    return {i for i, value in enumerate(shown) if value == top}


def mean(values: np.ndarray) -> float:
    """Return the mean of the finite values; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def by_frame(values: np.ndarray) -> np.ndarray:
    """Return the means (T,) of the finite values of each frame (T, N)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # raised for a frame of only NaN
        return np.asarray(np.nanmean(values, axis=1))


def quiet_median(values: np.ndarray) -> np.ndarray:
    """Return the median over the first axis without NaN, and without warnings at only NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=0))
