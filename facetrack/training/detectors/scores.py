"""Fit the calibration of a detector's scores (`facetrack.detectors.scores`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.detectors import LandmarkDetector
from facetrack.detectors.scores import EXACT, KEY, ScoreCalibration, log_odds
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import error_unit
from facetrack.training.detectors.augment import Augmentation, Source
from facetrack.training.detectors.placed import (
    SCHEME,
    add_metadata,
    open_network,
    picture_source,
    place,
)

ITERATIONS = 100
OFFSET_PRIOR = 20.0
"""Weight that pulls the landmarks' offsets to their mean, in observations."""


class Judged(NamedTuple):
    """Landmarks that a detector has placed in M pictures.

    Attributes:
        score: (M, N) the network's own scores.
        exact: (M, N) bool, whether a landmark is within EXACT of its true place.
        hidden: (M, N) bool, whether the turned head covers it.
    """

    score: np.ndarray
    exact: np.ndarray
    hidden: np.ndarray


def judge(detector: LandmarkDetector, source: Source, count: int) -> Judged:
    """Place landmarks in pictures of random faces, and compare them with the truth.

    Args:
        detector: places 68 points.
        source: the faces.
        count: number of pictures.
    """
    placed = place(detector, source, count, Augmentation())
    away = np.linalg.norm(placed.xy - placed.truth, axis=-1)
    exact = away <= EXACT * error_unit(placed.truth)[:, None]
    return Judged(placed.score, exact, placed.hidden)


def fit(judged: Judged) -> ScoreCalibration:
    """Fit the calibration by logistic regression, with an offset for each landmark.

    Offsets of a pair of left and right landmarks are the same. A prior pulls them to their mean.
    """
    odds, exact = log_odds(judged.score), judged.exact.astype(float)
    count = odds.shape[1]
    _, pair = np.unique(np.minimum(np.arange(count), schemes.get(SCHEME).swap), return_inverse=True)
    slope, common, offsets = 1.0, 0.0, np.zeros(pair.max() + 1)
    for _ in range(ITERATIONS):
        chance = 1 / (1 + np.exp(-(slope * odds + common + offsets[pair])))
        weight, off = chance * (1 - chance) + 1e-6, exact - chance
        # Newton's steps, of the slope with the common offset and of each landmark's own.
        square = np.array([[(weight * odds**2).sum(), (weight * odds).sum()], [0.0, weight.sum()]])
        square[1, 0] = square[0, 1]
        step = np.linalg.solve(square + np.eye(2), [(off * odds).sum(), off.sum()])
        slope, common = slope + float(step[0]), common + float(step[1])
        chance = 1 / (1 + np.exp(-(slope * odds + common + offsets[pair])))
        gradient = np.bincount(pair, (exact - chance).sum(0)) - OFFSET_PRIOR * offsets
        curvature = np.bincount(pair, (chance * (1 - chance)).sum(0)) + OFFSET_PRIOR
        offsets = offsets + gradient / curvature
        if np.abs(step).max() < 1e-5 and np.abs(gradient / curvature).max() < 1e-5:
            break
    return ScoreCalibration(max(slope, 1e-3), common + offsets[pair])


def calibrate(
    arch: str,
    weights: Path,
    faces: Path,
    count: int = 1000,
    progress: Callable[[str], None] | None = None,
) -> ScoreCalibration:
    """Fit the calibration of a weights file to training faces, and write it into the file.

    Args:
        arch: the detector's name.
        weights: .safetensors of `facetrack train detector`; a calibration in it is replaced.
        faces: folder of face crops with landmarks68.npz.
        count: number of pictures.
        progress: called with sentences about the result.

    Raises:
        FacetrackError: the file cannot be used.
    """
    detector = open_network(arch, weights)
    detector.scores = None
    fitted = fit(judge(detector, picture_source(faces), count))
    add_metadata(weights, KEY, fitted.write())
    if progress is not None:
        detector.scores = fitted
        for line in describe(judge(detector, picture_source(faces, held_out=True), count // 2)):
            progress(line)
    return fitted


def describe(judged: Judged) -> list[str]:
    """Return sentences that compare scores with the shares of exact landmarks."""
    lines = []
    edges = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.01)
    for low, high in pairwise(edges):
        chosen = (judged.score >= low) & (judged.score < high)
        if chosen.any():
            lines.append(
                f"held out, scored {low:.2f} to {min(high, 1):.2f}: {int(chosen.sum())} landmarks, "
                f"mean score {judged.score[chosen].mean():.3f}, "
                f"exact {judged.exact[chosen].mean():.3f}"
            )
    if judged.hidden.any():
        lines.append(
            f"mean score of hidden landmarks {judged.score[judged.hidden].mean():.3f}, "
            f"of others {judged.score[~judged.hidden].mean():.3f}"
        )
    return lines
