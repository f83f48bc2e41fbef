"""Fit the calibration of a detector's scores (`facetrack.detectors.scores`)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from facetrack.detectors import DetectorOptions, LandmarkDetector, create
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import hog_box
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.scores import EXACT, KEY, ScoreCalibration, log_odds
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import error_unit
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import jittered, load
from facetrack.training.signals import Random

SCHEME = "68"
PICTURE_SIDE = 1.9
"""Sides of the face's box that the pictures are wide."""
BATCH = 16
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


def picture_source(faces: Path, held_out: bool = False) -> augment.Source:
    """Load the training faces, or the held-out faces, to draw pictures of all poses from."""
    swap = torch.tensor(schemes.get(SCHEME).swap)
    return augment.Source.of(
        load(faces, SCHEME, torch.device("cpu"), held_out=held_out), _surroundings, swap
    )


def _surroundings(points: np.ndarray) -> FaceFrame:
    box = hog_box(points)
    return FaceFrame((box[:2] + box[2:]) / 2, PICTURE_SIDE * float(box[2] - box[0]), 0.0)


def judge(detector: LandmarkDetector, source: augment.Source, count: int, seed: int = 0) -> Judged:
    """Place landmarks in pictures of random faces, and compare them with the truth.

    Args:
        detector: places 68 points.
        source: the faces.
        count: number of pictures.
        seed: of the pictures.
    """
    random, ranges = Random(seed, torch.device("cpu")), augment.Augmentation()
    scores, exact, hidden = [], [], []
    for first in range(0, count, BATCH):
        number = min(BATCH, count - first)
        views = augment.sample_from([source], [1.0], number, random, ranges)
        rgb = (views.pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        truth = views.points.numpy().astype(float)
        boxes = jittered(hog_box(truth), seed + first)
        found = detector.detect_many(list(rgb), list(boxes[:, None]))
        unit = error_unit(truth)
        away = np.linalg.norm(np.array([f.xy[0] for f in found]) - truth, axis=-1)
        scores.append(np.array([f.score[0] for f in found]))
        exact.append(away <= EXACT * unit[:, None])
        hidden.append(views.hidden.numpy())
    return Judged(*(np.concatenate(values) for values in (scores, exact, hidden)))


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
    if weights.suffix != ".safetensors":
        raise FacetrackError(f"{weights} is not a .safetensors file of facetrack train detector.")
    detector = create(arch, DetectorOptions(weights=str(weights), device="cpu"))
    if not isinstance(detector, NeuralDetector) or detector.scheme != SCHEME:
        raise FacetrackError("Scores are calibrated of landmark networks of 68 points.")
    detector.scores = None
    fitted = fit(judge(detector, picture_source(faces), count))
    with safe_open(weights, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    with atomic_path(weights) as path:
        save_file(arrays, path, {**metadata, KEY: fitted.write()})
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
