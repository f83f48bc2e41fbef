"""Place all landmarks of a frame in which some were corrected by hand.

A person corrects a few points. What they say of the others is a conditional Gaussian: three sources
estimate the 68 landmarks of the frame, each with errors of known covariance, and the corrected
points are observations without error. The sources are the landmarks as tracked, a landmark network
in the frame, and the distribution of the shapes of faces (`identity.shape_model`). The most
probable landmarks under all of them are the new ones; their covariance says how sure they are.

How wrong the tracked landmarks are is learnt from the corrections themselves: the variance of their
errors near a corrected point is that of the distances over which points were moved there, and of
their distances from the network's landmarks beyond what that network's own errors explain.

Tracked landmarks may also be off all together, as after a start on wrong ones: shifted, turned and
scaled. Where the corrections and the network's landmarks say so, by the ratio of the likelihoods,
they are moved back as a whole first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

# All distances are in units of the face: the distance of the outer eye corners of the mean face.
DETECTOR_ERRORS = ((17, 0.047), (27, 0.031), (36, 0.018), (48, 0.016), (68, 0.021))
"""Standard deviation of each coordinate of the landmarks of star-s: (end of the range of landmarks,
value) for jaw, brows, nose, eyes and mouth. Measured on 201 held-out faces."""
CORRELATION_LENGTH = 0.24
"""Distance over which the correlation of two landmarks' errors falls to 1/e; measured likewise."""
COMMON_CORRELATION = 0.06
"""Correlation of the errors of distant landmarks; measured likewise."""
TRACKED_ERROR = 0.02
"""Standard deviation of the tracked landmarks where nobody has corrected any."""
PRIOR_WEIGHT = 1.0
"""Number of corrected points that TRACKED_ERROR counts as much as."""
REACH = 0.4
"""Distance, as a standard deviation of a Gaussian, up to which a correction says how wrong the
tracked landmarks are."""
DISAGREEMENT_WEIGHT = 2.0
"""Number of corrected points that the network's landmarks around a point count as much as."""
OWN_SHARE = 0.3
"""Share of the variance of tracked landmarks' errors that neighbours do not have in common."""
COMMON_ERRORS, COMMON_OWN_ERRORS = (0.04, 0.08, 0.16), (0.005, 0.01, 0.02)
"""Standard deviations tried for what landmarks that are off all together have in common (shift,
turn and scale), and for what is left of each."""
OWN_ERRORS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
"""Standard deviations tried for landmarks that are off each by itself."""
MIN_COMMON_EVIDENCE = 20.0
"""Logarithm of the ratio of likelihoods from which on landmarks are off all together. With star-s
and three corrected points, on 60 held-out faces, it is 32 and more where they are, and at most 13
where they are right, or off by themselves, smoothly, or in one part."""
CLICK_ERROR = 1e-4
"""Standard deviation of corrected points: they stay where they were put."""
FACE_SPREAD = 0.62
"""Root of the mean squared distance of the mean face's landmarks from their centre."""
_FREE = 10.0
"""Standard deviation of position, size and rotation, which are free."""
_JITTER = 1e-9


@dataclass(frozen=True)
class Estimate:
    """Landmarks with the covariance of their errors.

    Attributes:
        xy: (N, 2) float64 pixels.
        pose: complex factor from units of the face to pixels.
        covariance: (2N, 2N) in units of the face, x of all landmarks before y, in the upright face.
    """

    xy: np.ndarray
    pose: complex
    covariance: np.ndarray


def correct_landmarks(
    tracked: np.ndarray,
    corrected: np.ndarray,
    detected: np.ndarray | None = None,
    shapes: ShapeModel | None = None,
    use_tracked: bool = True,
) -> Estimate:
    """Place all landmarks of a frame.

    Args:
        tracked: (N, 2) the landmarks as tracked, finite.
        corrected: (N, 2) the corrected landmarks; NaN for all others.
        detected: (N, 2) those of a landmark network; None without one.
        shapes: distribution of the shapes of faces, for N = 68; None for other layouts.
        use_tracked: whether the tracked landmarks are evidence at all, or only say roughly where
            the face is.
    """
    known = np.isfinite(corrected).all(-1)
    # The pose of the face, by the best estimate at hand.
    reference = np.where(known[:, None], corrected, tracked if detected is None else detected)
    mean = as_complex(shapes.mean) if shapes is not None else _upright(as_complex(reference))
    pose = fit_rotation_scale(mean, as_complex(reference)) or 1.0 + 0j
    origin = as_complex(reference).mean() - pose * mean.mean()

    def inside(xy: np.ndarray) -> np.ndarray:
        return _stack((as_complex(xy) - origin) / pose)

    at = mean
    estimate = inside(tracked)
    target = inside(np.where(known[:, None], corrected, tracked))
    seen = None if detected is None else inside(detected)
    sources: list[tuple[np.ndarray, np.ndarray]] = []
    if use_tracked:
        shift, shift_covariance = _common_error(at, estimate, target, known, seen)
        estimate = estimate + shift
        moved = np.abs(_unstack(target) - _unstack(estimate))
        away = None if seen is None else np.abs(_unstack(estimate) - _unstack(seen))
        own = _tracked_covariance(at, moved, known, away)
        sources.append((estimate, own + shift_covariance))
    if seen is not None:
        sources.append((seen, detector_covariance(at)))
    if shapes is not None:
        sources.append((_stack(mean), _shape_covariance(shapes)))
    if not sources:
        raise ValueError("nothing says where the other landmarks are")
    value, covariance = _fuse(sources)
    value, covariance = _observe(value, covariance, target, known)
    xy = as_xy(_unstack(value) * pose + origin)
    xy[known] = corrected[known]
    return Estimate(xy, pose, covariance)


def correct_placed(
    placed: np.ndarray, corrected: np.ndarray, shapes: ShapeModel | None
) -> Estimate:
    """Correct landmarks (N, 2) that a detector has placed; without corrections they stay.

    Args:
        corrected: (N, 2); NaN where not corrected.
        shapes: distribution of the shapes of faces, for N = 68.
    """
    if np.isfinite(corrected).any():
        if shapes is None:
            return only_corrected(placed, corrected)
        return correct_landmarks(placed, corrected, placed, shapes, use_tracked=False)
    mean = face_places(placed) if shapes is None else as_complex(shapes.mean)
    pose = fit_rotation_scale(mean, as_complex(placed)) or 1.0 + 0j
    return Estimate(placed, pose, detector_covariance(mean))


def only_corrected(tracked: np.ndarray, corrected: np.ndarray) -> Estimate:
    """Return tracked landmarks (N, 2) with the corrected ones in place, of a layout of any kind.

    Args:
        corrected: (N, 2); NaN for all others.
    """
    known = np.isfinite(corrected).all(-1)
    xy = np.where(known[:, None], corrected, tracked).astype(float)
    centre = np.nanmean(xy, 0) if known.any() or np.isfinite(xy).any() else np.zeros(2)
    xy = np.where(np.isfinite(xy), xy, centre)
    pose = _size(as_complex(xy)) + 0j or 1.0 + 0j
    deviation = np.where(known, CLICK_ERROR, TRACKED_ERROR)
    return Estimate(xy, pose, np.diag(np.tile(deviation**2, 2)))


def fit_mean_face(known: np.ndarray, shapes: ShapeModel | None) -> np.ndarray:
    """Return the mean face (N, 2) fitted to points, some of which are NaN."""
    finite = np.isfinite(known).all(-1)
    if shapes is None:
        return np.broadcast_to(known[finite].mean(0), known.shape)
    mean, points = as_complex(shapes.mean), as_complex(np.where(finite[:, None], known, 0))
    factor = fit_rotation_scale(mean[finite], points[finite]) or 1.0 + 0j
    return as_xy(factor * (mean - mean[finite].mean()) + points[finite].mean())


def face_places(xy: np.ndarray) -> np.ndarray:
    """Return where the points (N, 2) of a face lie, (N,) complex in units of the face."""
    return _upright(as_complex(xy))


def detector_covariance(at: np.ndarray) -> np.ndarray:
    """Return the covariance (2N, 2N) of a landmark network's errors at (N,) complex places."""
    deviation = np.full(len(at), DETECTOR_ERRORS[0][1])
    if len(at) == DETECTOR_ERRORS[-1][0]:
        start = 0
        for end, value in DETECTOR_ERRORS:
            deviation[start:end] = value
            start = end
    return _twice(correlation(at) * deviation * deviation[:, None])


def correlation(at: np.ndarray) -> np.ndarray:
    """Return the correlation (N, N) of the errors of landmarks at (N,) complex places."""
    distance = np.abs(at[:, None] - at)
    near = np.exp(-distance / CORRELATION_LENGTH)
    return np.asarray(COMMON_CORRELATION + (1 - COMMON_CORRELATION) * near)


def _common_error(
    at: np.ndarray,
    tracked: np.ndarray,
    target: np.ndarray,
    known: np.ndarray,
    detected: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much tracked landmarks are to be moved all together, and its covariance.

    Args:
        at: (N,) complex places.
        tracked, target: (2N,) tracked landmarks, and these with the corrected ones in place.
        known: (N,) bool, the corrected points.
        detected: (2N,) those of a network; None without one.

    Returns:
        (2N,) and (2N, 2N); zeros where they are not off all together.
    """
    modes = np.stack([_stack(mode) for mode in (1 + 0 * at, 1j + 0 * at, at, 1j * at)], axis=1)
    chosen = np.flatnonzero(np.tile(known, 2))
    # How far all landmarks are off by the network, then the corrected ones by hand.
    rows = chosen if detected is None else np.concatenate([np.arange(len(tracked)), chosen])
    off = (target - tracked)[chosen]
    noise = CLICK_ERROR**2 * np.eye(len(rows))
    if detected is not None:
        off = np.concatenate([detected - tracked, off])
        noise[: len(tracked), : len(tracked)] += detector_covariance(at)
    alike, ways = _twice(_own_and_shared(at))[np.ix_(rows, rows)], modes[rows]

    def evidence(own: float, common: float) -> tuple[float, np.ndarray]:
        covariance = noise + own**2 * alike + common**2 * ways @ ways.T
        lower = np.linalg.cholesky(covariance)
        inner = np.linalg.solve(lower, off)
        return float(-inner @ inner / 2 - np.log(np.diag(lower)).sum()), covariance

    apart = max(evidence(own, 0)[0] for own in OWN_ERRORS)
    found = {
        (own, common): evidence(own, common)
        for own in COMMON_OWN_ERRORS
        for common in COMMON_ERRORS
    }
    best = max(found, key=lambda errors: found[errors][0])
    if found[best][0] - apart < MIN_COMMON_EVIDENCE:
        return np.zeros_like(tracked), np.zeros((len(tracked),) * 2)
    power = best[1] ** 2
    gain = power * np.linalg.solve(found[best][1], ways).T
    left = power * (np.eye(modes.shape[1]) - gain @ ways)
    return modes @ (gain @ off), modes @ left @ modes.T


def _tracked_covariance(
    at: np.ndarray, moved: np.ndarray, known: np.ndarray, away: np.ndarray | None
) -> np.ndarray:
    """Return the covariance of tracked landmarks.

    Args:
        at: (N,) complex places.
        moved: (N,) distances over which points were moved.
        known: (N,) bool, the corrected points.
        away: (N,) distances from a network's landmarks; None without one.
    """
    near = np.exp(-0.5 * (np.abs(at[:, None] - at) / REACH) ** 2)
    # A distance has two coordinates.
    total = PRIOR_WEIGHT * TRACKED_ERROR**2 + near[:, known] @ (moved[known] ** 2 / 2)
    weight = PRIOR_WEIGHT + near[:, known].sum(-1)
    if away is not None:
        own = np.diag(detector_covariance(at))[: len(at)]
        beyond = near @ (away**2 / 2 - own) / near.sum(-1)
        total = total + DISAGREEMENT_WEIGHT * np.maximum(beyond, 0)
        weight = weight + DISAGREEMENT_WEIGHT
    deviation = np.sqrt(total / weight)
    return _twice(_own_and_shared(at) * deviation * deviation[:, None])


def _own_and_shared(at: np.ndarray) -> np.ndarray:
    """Return the correlation (N, N) of tracked landmarks' errors."""
    return np.asarray(OWN_SHARE * np.eye(len(at)) + (1 - OWN_SHARE) * correlation(at))


def _shape_covariance(shapes: ShapeModel) -> np.ndarray:
    """Return the covariance of the shapes of faces, whose position, size and rotation are free."""
    mean = as_complex(shapes.mean)
    modes = _stack(as_complex(shapes.modes))
    free = np.stack([_stack(mean * f) for f in (1, 1j)] + [_stack(0 * mean + f) for f in (1, 1j)])
    varied = (modes.T * shapes.variances) @ modes + _FREE**2 * free.T @ free
    return np.asarray(varied + shapes.noise * np.eye(len(varied)))


def _fuse(sources: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable values under several estimates with covariances, and theirs."""
    precision = np.zeros_like(sources[0][1])
    weighted = np.zeros_like(sources[0][0])
    for value, covariance in sources:
        inverse = np.linalg.inv(covariance + _JITTER * np.eye(len(covariance)))
        precision += inverse
        weighted += inverse @ value
    covariance = np.linalg.inv(precision)
    return covariance @ weighted, covariance


def _observe(
    value: np.ndarray, covariance: np.ndarray, target: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Condition a Gaussian on the corrected points."""
    chosen = np.flatnonzero(np.tile(known, 2))
    if not len(chosen):
        return value, covariance
    noise = CLICK_ERROR**2 * np.eye(len(chosen))
    inner = covariance[np.ix_(chosen, chosen)] + noise
    gain = np.linalg.solve(inner, covariance[chosen]).T
    value = value + gain @ (target[chosen] - value[chosen])
    covariance = covariance - gain @ covariance[chosen]
    return value, (covariance + covariance.T) / 2


def _upright(points: np.ndarray) -> np.ndarray:
    """Return points of a layout without a mean face at about the size of one."""
    size = _size(points)
    return np.asarray((points - points.mean()) / (size or 1.0))


def _size(points: np.ndarray) -> float:
    """Return the size in pixels of a unit of the face: its points scatter by FACE_SPREAD units."""
    return float(np.sqrt((np.abs(points - points.mean()) ** 2).mean())) / FACE_SPREAD


def _stack(values: np.ndarray) -> np.ndarray:
    """Return complex values (..., N) as (..., 2N): x of all, then y of all."""
    return np.concatenate([values.real, values.imag], -1)


def _unstack(values: np.ndarray) -> np.ndarray:
    half = values.shape[-1] // 2
    return np.asarray(values[..., :half] + 1j * values[..., half:])


def _twice(covariance: np.ndarray) -> np.ndarray:
    """Return the covariance of x and y, whose errors are alike and independent."""
    nothing = np.zeros_like(covariance)
    return np.block([[covariance, nothing], [nothing, covariance]])
