"""Fit the correction of shapes that a detector places: `facetrack.detectors.shape_correction`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from facetrack.detectors.shape_correction import (
    KEY,
    POINTS,
    ShapeCorrection,
    deviations_of,
    find_pose,
    inputs_of,
    reference,
)
from facetrack.evaluation import metrics
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import error_unit
from facetrack.training.detectors.augment import Augmentation
from facetrack.training.detectors.placed import (
    SCHEME,
    Placed,
    add_metadata,
    open_network,
    picture_source,
    place,
)

PLAIN = Augmentation(rotation=15.0, lids=0.0, lips=0.0, turned=0.0, spoilt=0.0, ended=0.0)
MOVED = Augmentation(rotation=15.0, lids=0.25, lips=0.25, turned=0.2, spoilt=0.3, ended=0.05)
TURNED = Augmentation(rotation=15.0, lids=0.1, lips=0.1, turned=1.0, spoilt=0.1, ended=0.02)
"""How the three parts of the pictures are made, so that the regression knows lids and lips that
move, and heads that are turned up to profile."""
RIDGE = 0.15
"""Weight that pulls to no correction, in observations."""
DEVIATIONS = 2.0
"""Standard deviations of the first principal component that are a turn of 1."""
PASSES = 4
"""Of weighted least squares, whose limit is the least mean distance."""
SOFT = 0.02
"""Distance from which on a landmark's weight falls with its distance."""
FAR = 0.5
"""Distance beyond which a landmark does not count: the detector has lost it."""


def fit(placed: Placed) -> ShapeCorrection:
    """Fit the offsets of landmarks to the shapes that were placed, by robust ridge regression.

    Faces count mirrored, too, so left and right are treated alike.
    """
    known = np.isfinite(placed.xy).all((1, 2))
    xy, truth = _with_mirrored(placed.xy[known]), _with_mirrored(placed.truth[known])
    pose = find_pose(xy)
    upright = pose.to_upright(xy)
    axis = _turn_axis(deviations_of(upright))
    inputs, offsets = inputs_of(upright, axis), pose.to_upright(truth) - upright
    unit = error_unit(reference()[None])[0]
    weight = np.zeros((inputs.shape[1], 2 * POINTS))
    for _ in range(PASSES):
        rest = offsets - (inputs @ weight).reshape(offsets.shape)
        away = np.linalg.norm(rest, axis=-1) / unit
        counts = np.where(away < FAR, 1 / (SOFT + away), 0)
        for i in range(POINTS):
            weighted = inputs.T * counts[:, i]
            square = weighted @ inputs + RIDGE * counts[:, i].mean() * np.eye(len(weighted))
            weight[:, 2 * i : 2 * i + 2] = np.linalg.solve(square, weighted @ offsets[:, i])
    return ShapeCorrection(weight, axis)


def _turn_axis(deviations: np.ndarray) -> np.ndarray:
    """Return the axis (136,) of the turn for deviations (M, 136) of faces and their mirror images.

    Nothing else moves landmarks as far as a turn does: it is the first principal component.
    """
    _, spread, directions = np.linalg.svd(deviations - deviations.mean(0), full_matrices=False)
    deviation = spread[0] / np.sqrt(len(deviations))
    return np.asarray(directions[0] / (DEVIATIONS * deviation))


def _with_mirrored(faces: np.ndarray) -> np.ndarray:
    """Return faces (M, 68, 2) and their mirror images, (2 M, 68, 2)."""
    mirrored = faces[:, list(schemes.get(SCHEME).swap)] * [-1, 1]
    return np.concatenate([faces, mirrored])


def correct(
    arch: str,
    weights: Path,
    faces: Path,
    count: int,
    progress: Callable[[str], None] | None = None,
) -> ShapeCorrection:
    """Fit the shape correction of a weights file to training faces, and write it into the file.

    Args:
        arch: the detector's name.
        weights: .safetensors of `facetrack train detector`; a correction in it is replaced.
        faces: folder of face crops with landmarks68.npz.
        count: number of pictures, a third of each kind.
        progress: called with sentences about the result.

    Raises:
        FacetrackError: the file cannot be used.
    """
    detector = open_network(arch, weights)
    detector.shape_correction = None
    source = picture_source(faces)
    parts = [
        place(detector, source, count // 3, ranges, seed)
        for seed, ranges in enumerate((PLAIN, MOVED, TURNED))
    ]
    fitted = fit(Placed(*(np.concatenate(values) for values in zip(*parts, strict=True))))
    add_metadata(weights, KEY, fitted.write())
    if progress is not None:
        others = picture_source(faces, held_out=True)
        for name, ranges in (("plain", PLAIN), ("moved", MOVED), ("turned", TURNED)):
            placed = place(detector, others, max(count // 15, 1), ranges, seed=3)
            progress(f"held out, {name}: {describe(placed, fitted)}")
    return fitted


def describe(placed: Placed, correction: ShapeCorrection) -> str:
    """Return a sentence that compares errors without and with the correction."""
    corners = schemes.get(SCHEME).eye_corners
    assert corners is not None
    before, after = (
        np.median(metrics.nme_ic(xy, placed.truth, corners))
        for xy in (placed.xy, correction.apply(placed.xy))
    )
    return f"median NME {before:.3f} % without the correction, {after:.3f} % with it"
