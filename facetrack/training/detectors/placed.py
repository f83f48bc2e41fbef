"""What a trained detector places in random pictures of annotated faces, to fit what corrects it."""

from __future__ import annotations

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
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.landmarks import schemes
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import jittered, load
from facetrack.training.signals import Random

SCHEME = "68"
PICTURE_SIDE = 1.9
"""Sides of the face's box that the pictures are wide."""
BATCH = 16


class Placed(NamedTuple):
    """Landmarks that a detector has placed in M pictures.

    Attributes:
        truth: (M, N, 2) annotated landmarks in pixels.
        xy: (M, N, 2) those of the detector.
        score: (M, N) its scores.
        hidden: (M, N) bool, whether the turned head covers a landmark.
    """

    truth: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    hidden: np.ndarray


def open_network(arch: str, weights: Path) -> NeuralDetector:
    """Open a network of 68 points whose weights file can be added to.

    Args:
        arch: the detector's name.
        weights: .safetensors of `facetrack train detector`.

    Raises:
        FacetrackError: the file cannot be used.
    """
    if weights.suffix != ".safetensors":
        raise FacetrackError(f"{weights} is not a .safetensors file of facetrack train detector.")
    detector = create(arch, DetectorOptions(weights=str(weights), device="cpu"))
    if not isinstance(detector, NeuralDetector) or detector.scheme != SCHEME:
        raise FacetrackError("Only landmark networks of 68 points have scores and shapes to fit.")
    return detector


def picture_source(faces: Path, held_out: bool = False) -> augment.Source:
    """Load the training faces, or the held-out faces, to draw pictures of all poses from."""
    swap = torch.tensor(schemes.get(SCHEME).swap)
    return augment.Source.of(
        load(faces, SCHEME, torch.device("cpu"), held_out=held_out), _surroundings, swap
    )


def _surroundings(points: np.ndarray) -> FaceFrame:
    box = hog_box(points)
    return FaceFrame((box[:2] + box[2:]) / 2, PICTURE_SIDE * float(box[2] - box[0]), 0.0)


def place(
    detector: LandmarkDetector,
    source: augment.Source,
    count: int,
    ranges: augment.Augmentation,
    seed: int = 0,
) -> Placed:
    """Place landmarks in pictures of random faces, in boxes as far off as a face detector's.

    Args:
        detector: places 68 points.
        source: the faces.
        count: number of pictures.
        ranges: how the pictures are made.
        seed: of the pictures and the boxes.
    """
    random = Random(seed, torch.device("cpu"))
    parts = []
    for first in range(0, count, BATCH):
        number = min(BATCH, count - first)
        views = augment.sample_spoilt(source, number, random, ranges)
        rgb = (views.pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        truth = views.points.numpy().astype(float)
        boxes = jittered(hog_box(truth), seed + first)
        found = detector.detect_many(list(rgb), list(boxes[:, None]))
        xy, score = (np.array([face[0] for face in kind]) for kind in zip(*found, strict=True))
        parts.append(Placed(truth, xy, score, views.hidden.numpy()))
    return Placed(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def add_metadata(weights: Path, key: str, value: str) -> None:
    """Add an entry to the metadata of a .safetensors file, or replace it; nothing else changes."""
    with safe_open(weights, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    with atomic_path(weights) as path:
        save_file(arrays, path, {**metadata, key: value})
