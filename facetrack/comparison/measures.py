"""What is measured of each method, and what the figures mean."""

from __future__ import annotations

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
        "Share of truly visible points within 1, 2, 4, 8, 16 px of a 256 x 256 picture, averaged "
        "(TAP-Vid).",
        True,
    ),
    Measure(
        "occlusion_accuracy",
        "OA",
        "%",
        "higher",
        1,
        "Share of points whose visibility is right (TAP-Vid).",
        True,
    ),
    Measure(
        "average_jaccard",
        "AJ",
        "%",
        "higher",
        1,
        "TAP-Vid's average Jaccard: right positions and right visibility in one figure.",
        True,
    ),
    Measure(
        "expected_error",
        "expected error",
        "%",
        "lower",
        2,
        "A weak hint at the order where there is no ground truth, often wrong about the best: "
        "disagreement, trembling and loss on the way there and back, added as squares, in % "
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
        "Mean distance of the points from what their own detector, asked anew every so often, "
        f"finds in the same frame, in % {OF_FACE}.",
    ),
    Measure(
        "cycle",
        "cycle error",
        "%",
        "lower",
        2,
        "How far points end from where they began when carried some frames forward and back again, "
        f"in % {OF_FACE}.",
    ),
    Measure(
        "jitter",
        "jitter",
        "%",
        "lower",
        3,
        f"Mean second difference of the points in time, in % {OF_FACE} a frame squared: trembling, "
        "and what the face really accelerates.",
    ),
    Measure(
        "visible",
        "visible",
        "%",
        "",
        1,
        "Share of points that the method says can be seen; more is no better where something "
        "covers the face.",
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
        "How often the init's detector found nothing when it was asked again to measure drift.",
    ),
    Measure(
        "fps",
        "speed",
        "fps",
        "higher",
        1,
        "Frames a second of tracking in this run, where work that methods share is shared out "
        "evenly; without reading the video, drawing and writing.",
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
MISSING = metrics.FAILURE_IC
"""What a point without a position counts as in the expected error: a failure's error, in %."""
WHITE_NOISE = np.sqrt(6.0)
"""Standard deviation of the second difference of white noise of standard deviation 1."""


def face_size(xy: np.ndarray, scheme: schemes.Scheme) -> np.ndarray:
    """(..., N, 2) -> (...) the distance between the outer eye corners in pixels; of layouts without
    them, the geometric mean of the sides of the box around the points. NaN where unknown."""
    if scheme.eye_corners is not None:
        right, left = scheme.eye_corners
        size = np.linalg.norm(xy[..., left, :].astype(float) - xy[..., right, :], axis=-1)
    else:
        size = np.sqrt(np.ptp(xy.astype(float), axis=-2).prod(-1))
    return np.asarray(np.where(size > 0, size, np.nan))


def distance(xy: np.ndarray, other: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(..., N) per cent of `size` (...) between points (..., N, 2); NaN where either is unknown."""
    return np.asarray(100 * np.linalg.norm(xy.astype(float) - other, axis=-1) / size[..., None])


def consensus_size(tracks: Sequence[Tracks]) -> np.ndarray:
    """(T,) how large the face is in pixels by the median of the methods, which share one layout;
    where none knows, its median over time."""
    scheme = schemes.get(tracks[0].scheme)
    middle = quiet_median(np.stack([some.xy[:, 0] for some in tracks]))
    size = face_size(middle, scheme)
    return np.where(np.isfinite(size), size, quiet_median(size))


def disagreement(tracks: Sequence[Tracks], size: np.ndarray) -> list[np.ndarray]:
    """(T, N) per cent of `size` (T,) between each method and the median of the others; NaN where
    a position is unknown, or no other method has one."""
    xy = np.stack([some.xy[:, 0] for some in tracks]).astype(float)
    if len(xy) < 2:
        return [np.full(xy.shape[1:3], np.nan)]
    others = [quiet_median(np.delete(xy, i, 0)) for i in range(len(xy))]
    return [distance(own, other, size) for own, other in zip(xy, others, strict=True)]


def jitter(tracks: Tracks, size: np.ndarray) -> float:
    """Per cent of the face's size (T,) a frame squared, over points that are said to be seen."""
    xy = np.where(tracks.visible[:, 0, :, None], tracks.xy[:, 0], np.nan)
    return 100 * metrics.jitter(xy, size)


def cycle(start: np.ndarray, back: np.ndarray, scheme: schemes.Scheme) -> float:
    """Per cent between points (N, 2) where they began and where they ended."""
    return 100 * metrics.cycle_error(start, back, float(face_size(start, scheme)))


def expected_error(
    disagreement: np.ndarray, missing: np.ndarray, jitter: float, cycle: float
) -> float:
    """How large a method's error is likely to be, in per cent; see `MEASURES`.

    What most methods agree on is taken for the truth. The trembling of a method shows in its
    second differences, what it loses on its way in the cycle error; both matter where methods
    are few or go wrong together.

    It is a weak hint. On four rendered clips with ERT, PIPNet and STAR, each carried by three
    trackers, its order had a Kendall's tau of 0.22 with that of the true errors (0.61 to -0.06),
    and the method it put first erred 1.30 times as much as the best one; one taken at random errs
    1.45 times as much. Errors that detectors share, and an init's constant bias, cannot be seen
    without truth. `benchmarks/accuracy/compare_ranking.py` measures it.

    Args:
        disagreement: (T, N) from `disagreement`; all NaN where there is no other method.
        missing: (T, N) bool, points without a position.
        jitter, cycle: per cent; NaN (a method that carries nothing) counts as none.
    """
    apart = np.where(missing, MISSING, np.minimum(disagreement, MISSING))
    trembling = np.nan_to_num(jitter) / WHITE_NOISE
    lost = np.nan_to_num(cycle) / 2  # the way there is half of it
    squares = [np.nan_to_num(mean(apart)) ** 2, trembling**2, lost**2]
    return float(np.sqrt(np.sum(squares)))


def against_truth(
    tracks: Tracks, truth: np.ndarray, visible: np.ndarray | None, query_frame: int
) -> tuple[dict[str, float], np.ndarray]:
    """The measures that need ground truth (T, N, 2), and the error (T,) in per cent.

    Args:
        visible: (T, N) bool what can truly be seen, or None; without it there is no occlusion
            accuracy and no Jaccard, and all annotated points count as seen.
        query_frame: left out of TAP-Vid's measures, as is usual.
    """
    xy, scheme = tracks.xy[:, 0].astype(float), schemes.get(tracks.scheme)
    if scheme.eye_corners is not None:
        error = metrics.nme_ic(xy, truth, scheme.eye_corners)
    else:
        error = metrics.nme_box(xy, truth)
    known = np.isfinite(truth).all(-1)
    annotated = known.any(-1)
    counted = error[annotated]
    shown = known if visible is None else visible & known
    frames = metrics.after_query(len(tracks), query_frame, both_ways=True)[:, None]
    points = metrics.point_tracking(
        xy,
        tracks.visible[:, 0],
        truth,
        shown,
        tracks.size,
        frames & (known if visible is None else np.ones_like(known)),
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
    """Labels, best value first; what is NaN comes last, and equals keep their order."""
    sign = 1.0 if better == "lower" else -1.0
    order = sorted(
        range(len(labels)),
        key=lambda i: np.inf if np.isnan(values[i]) else sign * values[i],
    )
    return [labels[i] for i in order]


def best(key: str, values: Sequence[float], digits: int) -> set[int]:
    """Which values are the best of their measure as shown, with `digits` decimals; none where the
    measure knows no better, or all are alike."""
    better = BY_KEY[key].better
    shown = [round(value, digits) for value in values]
    known = [value for value in shown if not np.isnan(value)]
    if not better or len(set(known)) < 2:
        return set()
    top = min(known) if better == "lower" else max(known)
    return {i for i, value in enumerate(shown) if value == top}


def mean(values: np.ndarray) -> float:
    """Of what is finite; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def by_frame(values: np.ndarray) -> np.ndarray:
    """(T, N) -> (T,) means of what is finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame of nothing but NaN
        return np.asarray(np.nanmean(values, axis=1))


def quiet_median(values: np.ndarray) -> np.ndarray:
    """The median over the first axis of what is not NaN; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=0))
