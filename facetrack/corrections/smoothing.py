"""Let the anchors of one face say what they know to each other.

Each anchor has landmarks whose errors have a known covariance; the tracker links neighbouring
anchors in both directions, with errors that grow from frame to frame. So the anchors' offsets from
the truth are a chain of Gaussians, and a Kalman filter with the smoother of Rauch, Tung and
Striebel ("Maximum likelihood estimates of linear dynamic systems", AIAA Journal 1965) gives the
most probable ones. Points that were corrected in one frame so become right in the others, and
points that were corrected in several agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facetrack.corrections.displacement import correlation

DRIFT_VARIANCE = 0.005**2 / 100
"""Variance by which a tracked point's error grows per frame, in units of the face: TAPIR's error
after some hundred frames is 0.5 % on rendered clips of held-out faces."""
_JITTER = 1e-12


@dataclass(frozen=True)
class Link:
    """What the tracker says of two neighbouring anchors.

    Attributes:
        shift: (N,) complex, by how much more the second anchor's points are off than the first's,
            in units of the face.
        growth: (N,) sum over the frames between them of 1 / confidence.
    """

    shift: np.ndarray
    growth: np.ndarray


def smooth_offsets(
    covariances: Sequence[np.ndarray], links: Sequence[Link], at: np.ndarray
) -> list[np.ndarray]:
    """Return the most probable offsets (N,) complex of each anchor from the truth.

    Args:
        covariances: (2N, 2N) of each anchor's errors, x of all points before y.
        links: between neighbouring anchors, one fewer.
        at: (N,) complex places of the points on the upright face, for the errors' correlation.
    """
    size = len(covariances[0])
    related = correlation(at)
    mean, covariance = np.zeros(size), covariances[0]
    filtered, predicted = [(mean, covariance)], []
    for own, link in zip(covariances[1:], links, strict=True):
        mean = mean + _stack(link.shift)
        deviation = np.sqrt(DRIFT_VARIANCE * link.growth)
        drift = related * deviation * deviation[:, None]
        nothing = np.zeros_like(drift)
        covariance = covariance + np.block([[drift, nothing], [nothing, drift]])
        predicted.append((mean, covariance))
        gain = _divide(covariance, covariance + own)
        mean = mean - gain @ mean
        covariance = covariance - gain @ covariance
        covariance = (covariance + covariance.T) / 2
        filtered.append((mean, covariance))
    smoothed = [filtered[-1][0]]
    for (mean, covariance), (ahead, spread) in zip(
        reversed(filtered[:-1]), reversed(predicted), strict=True
    ):
        gain = _divide(covariance, spread)
        smoothed.append(mean + gain @ (smoothed[-1] - ahead))
    return [value[: size // 2] + 1j * value[size // 2 :] for value in reversed(smoothed)]


def _divide(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return first @ inverse(second) of symmetric matrices."""
    return np.linalg.solve(second + _JITTER * np.eye(len(second)), first).T


def _stack(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values.real, values.imag])
