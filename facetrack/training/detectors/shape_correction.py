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
)
from facetrack.errors import FacetrackError
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
"""How the two halves of the pictures are made. In the second, lids and lips move and heads turn, so
that the regression knows these shapes, too."""
RIDGE = 0.04
"""Weight that pulls to no correction, in observations."""
PASSES = 4
"""Of weighted least squares, whose limit is the least mean distance."""
SOFT = 0.02
"""Distance from which on a landmark's weight falls with its distance."""
FAR = 0.5
"""Distance beyond which a landmark does not count: the detector has lost it."""
NEAR = 0.25
"""Distance within which all landmarks are in the faces that tell what landmarks imply."""
NOISE = 0.01
"""Standard deviation of each coordinate beside what the faces show."""
AGREEING = 0.999
"""Share of such faces in which a landmark has not strayed."""


def fit(placed: Placed) -> ShapeCorrection:
    """Fit the offsets of landmarks to the shapes that were placed, by robust ridge regression.

    Faces count mirrored, too, so left and right are treated alike.

    Raises:
        FacetrackError: too few faces have all landmarks near their places.
    """
    known = np.isfinite(placed.xy).all((1, 2))
    xy, truth = _with_mirrored(placed.xy[known]), _with_mirrored(placed.truth[known])
    agreement = _fit_agreement(xy, truth)
    strays_only = ShapeCorrection(np.zeros((2 * POINTS + 1, 2 * POINTS)), *agreement)
    xy = strays_only.return_strays(xy)
    pose = find_pose(xy)
    upright = pose.to_upright(xy)
    inputs, offsets = inputs_of(upright), pose.to_upright(truth) - upright
    unit = error_unit(truth)[:, None] / np.abs(pose.factor)
    weight = np.zeros((inputs.shape[1], 2 * POINTS))
    for _ in range(PASSES):
        rest = offsets - (inputs @ weight).reshape(offsets.shape)
        away = np.linalg.norm(rest, axis=-1) / unit
        counts = np.where(away < FAR, 1 / (SOFT + away), 0) / unit
        for i in range(POINTS):
            weighted = inputs.T * counts[:, i]
            square = weighted @ inputs + RIDGE * counts[:, i].mean() * np.eye(len(weighted))
            weight[:, 2 * i : 2 * i + 2] = np.linalg.solve(square, weighted @ offsets[:, i])
    return ShapeCorrection(weight, *agreement)


def _fit_agreement(xy: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `ShapeCorrection.conditional` and `limits` for placed faces (M, 68, 2).

    The deviations of a face are taken as normally distributed. Then the inverse of their covariance
    tells what is to be expected of each, given all others.
    """
    away = np.linalg.norm(xy - truth, axis=-1) / error_unit(truth)[:, None]
    near = (away < NEAR).all(1)
    if near.sum() < 2 * POINTS:
        raise FacetrackError(
            f"Only {near.sum() // 2} faces have all landmarks near their places, and "
            f"{POINTS} are needed: train the network for longer, or place more pictures."
        )
    pose = find_pose(xy[near])
    deviations = deviations_of(pose.to_upright(xy[near]))
    unit = np.median(error_unit(truth[near]) / np.abs(pose.factor[:, 0]))
    noise = (NOISE * unit) ** 2 * np.eye(2 * POINTS)
    precision = np.linalg.inv(deviations.T @ deviations / len(deviations) + noise)
    blocks = precision.reshape(POINTS, 2, POINTS, 2)
    own = np.array([blocks[i, :, i] for i in range(POINTS)])
    conditional = np.linalg.solve(own, precision.reshape(POINTS, 2, 2 * POINTS))
    conditional = conditional.reshape(2 * POINTS, 2 * POINTS)
    rest = np.linalg.norm((deviations @ conditional.T).reshape(-1, POINTS, 2), axis=-1)
    return conditional, np.quantile(rest, AGREEING, axis=0)


def _with_mirrored(faces: np.ndarray) -> np.ndarray:
    """Return faces (M, 68, 2) and their mirror images, (2 M, 68, 2)."""
    mirrored = faces[:, list(schemes.get(SCHEME).swap)] * [-1, 1]
    return np.concatenate([faces, mirrored])


def correct(
    arch: str,
    weights: Path,
    faces: Path,
    count: int = 4000,
    progress: Callable[[str], None] | None = None,
) -> ShapeCorrection:
    """Fit the shape correction of a weights file to training faces, and write it into the file.

    Args:
        arch: the detector's name.
        weights: .safetensors of `facetrack train detector`; a correction in it is replaced.
        faces: folder of face crops with landmarks68.npz.
        count: number of pictures.
        progress: called with sentences about the result.

    Raises:
        FacetrackError: the file cannot be used, or places too few landmarks near their places.
    """
    detector = open_network(arch, weights)
    detector.shape_correction = None
    source = picture_source(faces)
    halves = [
        place(detector, source, count // 2, ranges, seed)
        for seed, ranges in enumerate((PLAIN, MOVED))
    ]
    fitted = fit(Placed(*(np.concatenate(values) for values in zip(*halves, strict=True))))
    add_metadata(weights, KEY, fitted.write())
    if progress is not None:
        others = picture_source(faces, held_out=True)
        for name, ranges in (("plain pictures", PLAIN), ("moved faces", MOVED)):
            placed = place(detector, others, max(count // 10, 1), ranges, seed=2)
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
