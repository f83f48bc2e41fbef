"""Fit the landmark shape model (`facetrack.identity.shape_model`): mean and principal components.

Generalised Procrustes analysis (Gower, Psychometrika 1975) aligns the faces in position, size and
rotation. The model consists of the principal components of the remaining differences. Fitting takes
a second and is deterministic.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.files import atomic_path
from facetrack.identity.shape_model import ShapeModel, align
from facetrack.landmarks import schemes
from facetrack.ops.similarity import as_xy
from facetrack.training.detectors.data import names_of, refuse_few
from facetrack.training.face_folder import landmarks_of, read_table

SCHEME = "68"
MODES = 30
"""Number of principal components."""
DETECTOR_NOISE = 0.01
"""Standard deviation, in inter-ocular distances, added to the noise of each coordinate, because
landmarks of a detector are less exact than those of an annotator."""
ROUNDS = 10
"""Iterations of the Procrustes analysis."""
PERCENTILE = 99.9
"""Percentile of the training faces' shape error that is stored as `ShapeModel.usual`."""


def train(faces: Path, out: Path) -> ShapeModel:
    """Fit the model to the training faces of a folder and write it.

    Args:
        faces: folder of face crops (.jpg) with landmarks68.npz; held-out faces are not used.
        out: the file (.safetensors).

    Raises:
        FacetrackError: the faces cannot be used, or the file cannot be written.
    """
    points = training_points(faces)
    model = fit(points)
    metadata = {"noise": model.noise, "usual": model.usual, "faces": len(points), "scheme": SCHEME}
    arrays: dict[str, np.ndarray] = {
        "mean": model.mean.astype(np.float32),
        "modes": model.modes.astype(np.float16),
        "variances": model.variances.astype(np.float32),
    }
    write_model(out, "shape_model", arrays, metadata)
    return model


def write_model(
    out: Path, name: str, arrays: dict[str, np.ndarray], metadata: dict[str, Any]
) -> None:
    """Write a model to a safetensors file, with its metadata as JSON under `name`.

    Raises:
        FacetrackError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    # Contiguous, because safetensors writes the memory unchanged.
    contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    with atomic_path(out) as path:
        save_file(contiguous, path, {name: json.dumps(metadata, sort_keys=True)})


def training_points(faces: Path) -> np.ndarray:
    """Return the landmarks (M, 68, 2) of the training faces in a folder.

    Raises:
        FacetrackError: the folder contains no faces, or a face has no landmarks.
    """
    names = names_of(faces, SCHEME)[0]
    refuse_few(faces)
    known = read_table(faces, SCHEME)
    return np.array([landmarks_of(known, name, faces) for name in names])


def fit(points: np.ndarray, modes: int = MODES) -> ShapeModel:
    """Fit the shape model to annotated faces and their mirror images.

    Args:
        points: (M, 68, 2) pixels, finite.
        modes: number of principal components.
    """
    layout = schemes.get(SCHEME)
    shapes = np.concatenate([points, layout.mirror(points, 0)]).astype(float)
    mean = procrustes_mean(shapes)
    deviation = (align(shapes, mean, np.ones(shapes.shape[:2])) - mean).reshape(len(shapes), -1)
    values, directions = np.linalg.eigh(deviation.T @ deviation / len(deviation))
    values, directions = values[::-1], directions[:, ::-1].T
    # The alignment removes four degrees of freedom.
    noise = float(values[modes:].sum() / (mean.size - 4 - modes)) + DETECTOR_NOISE**2
    # Rounded as in the file.
    kept = directions[:modes].reshape(modes, *mean.shape).astype(np.float16).astype(float)
    model = ShapeModel(mean, kept, values[:modes].copy(), noise)
    return replace(model, usual=float(np.percentile(model.shape_error(shapes), PERCENTILE)))


def procrustes_mean(shapes: np.ndarray) -> np.ndarray:
    """Return the mean (68, 2) of shapes (M, 68, 2).

    Its centre is 0, and its outer eye corners are level and at a distance of 1.
    """
    weight = np.ones(shapes.shape[:2])
    mean = _upright(shapes[0])
    for _ in range(ROUNDS):
        mean = _upright(align(shapes, mean, weight).mean(0))
    return mean


def _upright(face: np.ndarray) -> np.ndarray:
    right, left = schemes.get(SCHEME).eye_corners or (0, 0)
    points = (face - face.mean(0)) @ np.array([1, 1j])
    points = points / (points[left] - points[right])
    return as_xy(points)
