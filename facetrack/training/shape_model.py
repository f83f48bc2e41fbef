"""Training of the landmark shape model (`facetrack.identity.shape_model`): a mean and principal components.

Generalised Procrustes analysis (Gower, Psychometrika 1975) brings the faces to one place, size and
rotation; the principal components of what then differs are the model. It takes a second, and
nothing in it is random.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.identity.shape_model import ShapeModel, align
from facetrack.landmarks import schemes
from facetrack.training.detectors.data import names_of

SCHEME = "68"
MODES = 30
LOOSE = 0.01
"""Standard deviation, in inter-ocular distances, that each coordinate is granted beside what the
faces show: landmarks of a detector are less exact than an annotator's."""
ROUNDS = 10
PERCENTILE = 99.9


def train(faces: Path, out: Path) -> ShapeModel:
    """Fit the model to the training faces of a folder and write it.

    Args:
        faces: holds face crops (.jpg) and landmarks68.npz; the held-out ones are not looked at.
        out: the file (.safetensors).

    Raises:
        FacetrackError: the faces cannot be used, or the file cannot be written.
    """
    from safetensors.numpy import save_file

    points = training_points(faces)
    model = fit(points)
    said = {"noise": model.noise, "usual": model.usual, "faces": len(points), "scheme": SCHEME}
    # Contiguous: safetensors writes memory as it lies.
    arrays: dict[str, np.ndarray] = {
        "mean": np.ascontiguousarray(model.mean, np.float32),
        "modes": np.ascontiguousarray(model.modes, np.float16),
        "variances": np.ascontiguousarray(model.variances, np.float32),
    }
    with atomic_path(out) as path:
        save_file(arrays, path, {"shape_model": json.dumps(said, sort_keys=True)})
    return model


def training_points(faces: Path) -> np.ndarray:
    """(M, 68, 2) landmarks of the training faces of a folder.

    Raises:
        FacetrackError: the folder is not one of faces, or a face has no landmarks.
    """
    names = names_of(faces, SCHEME)[0]
    with np.load(faces / f"landmarks{SCHEME}.npz", allow_pickle=False) as data:
        known = dict(zip(data["names"].tolist(), data["points"].astype(float), strict=True))
    for name in names:
        if name not in known or not np.isfinite(known[name]).all():
            raise FacetrackError(f"{faces / name} has no landmarks in the folder's table.")
    return np.array([known[name] for name in names])


def fit(points: np.ndarray, modes: int = MODES) -> ShapeModel:
    """The shape model of annotated faces and their mirror images.

    Args:
        points: (M, 68, 2) pixels, finite.
        modes: directions of variation that are kept.
    """
    layout = schemes.get(SCHEME)
    shapes = np.concatenate([points, layout.mirror(points, 0)]).astype(float)
    mean = procrustes_mean(shapes)
    off = (align(shapes, mean, np.ones(shapes.shape[:2])) - mean).reshape(len(shapes), -1)
    values, directions = np.linalg.eigh(off.T @ off / len(off))
    values, directions = values[::-1], directions[:, ::-1].T
    # Four directions are those of the alignment, which leaves nothing in them.
    noise = float(values[modes:].sum() / (mean.size - 4 - modes)) + LOOSE**2
    # As they are stored.
    kept = directions[:modes].reshape(modes, *mean.shape).astype(np.float16).astype(float)
    model = ShapeModel(mean, kept, values[:modes].copy(), noise)
    return replace(model, usual=float(np.percentile(model.shape_error(shapes), PERCENTILE)))


def procrustes_mean(shapes: np.ndarray) -> np.ndarray:
    """(68, 2) mean of (M, 68, 2): centre 0, outer eye corners level and 1 apart."""
    weight = np.ones(shapes.shape[:2])
    mean = _upright(shapes[0])
    for _ in range(ROUNDS):
        mean = _upright(align(shapes, mean, weight).mean(0))
    return mean


def _upright(face: np.ndarray) -> np.ndarray:
    right, left = schemes.get(SCHEME).eye_corners or (0, 0)
    points = (face - face.mean(0)) @ np.array([1, 1j])
    points = points / (points[left] - points[right])
    return np.stack([points.real, points.imag], -1)
