"""Fit the 3-D face (`facetrack.measures.face_model`) to annotated faces.

Non-rigid structure from motion (Bregler, Hertzmann and Biermann, CVPR 2000; Torresani, Hertzmann
and Bregler, PAMI 2008): each annotated face is a person's face, turned and projected. Poses, sizes,
the mean face and its modes are found together, in turns: the pose and the coefficients of each face
by Gauss-Newton steps, then the points by linear least squares. The scaled orthographic camera
suffices for pictures whose distance is unknown.

Three rules make the result unique and sound:

- The mean and the modes are symmetric: left and right points are one point and its mirror image.
- The line of the jaw is the outline of the head, so its points slide over the head as it turns.
  Those of the far side do not count.
- Annotation errors let turned faces look more turned, which flattens the mean face. A parametric
  bootstrap measures that: faces of known depth are drawn with the poses and the remainders found,
  and fitted again. The depth is scaled until faces so drawn give the depth that the data give.

Fitting takes half a minute and is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facetrack.landmarks import schemes
from facetrack.measures import rotations
from facetrack.measures.face_model import (
    EYE_CORNER_DISTANCE,
    OUTER_EYE_CORNERS,
    SCHEME,
    SIDES,
    ZERO_TILT,
    Face3d,
    symmetric,
    tilt_of,
)
from facetrack.ops.similarity import as_xy
from facetrack.training.shape_model import procrustes_mean, training_points, write_model

MODES = 8
"""Number of modes."""
RIGID_ROUNDS, MODE_ROUNDS, BOOTSTRAPS = 30, 24, 3
"""Rounds of the fit without modes and with modes, and of the correction of the depth."""
POSE_STEPS = 3
"""Gauss-Newton steps for the poses in each round."""
JAW = range(17)
JAW_WEIGHT = 0.5
FAR_SIDE = (5.0, 15.0)
"""Yaw in degrees from which the far side of the jaw counts less, and from which not at all."""
FRONTAL = 12.0
"""Yaw in degrees up to which the remainders of a face count as those of any face."""
MAX_STEP = 0.3
"""Largest change of an angle or of the logarithm of the size in one step."""
FIRST_NOISE = 4.0
"""Noise before the first round, in mm."""
MIN_NOISE = 0.5
DEPTH_PRIOR = 0.05
"""Weight, per face, that pulls the depth of the modes to 0. A single view hardly determines by how
much people's depths differ; without the weight, errors of the poses pass for such differences."""
ROBUST = 6.0
"""Number of standard deviations beyond which a point's distance counts no more for its noise."""
_INNER = slice(17, 68)
"""Points without the jaw, by which modes are kept free of motions of the whole head."""


@dataclass(frozen=True)
class Views:
    """How each annotated face is seen.

    Attributes:
        rotation: (M, 3, 3).
        scale: (M,) pixels per mm.
        shift: (M, 2) pixels.
        coefficients: (M, K), covariance: (M, K, K).
    """

    rotation: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray


def train(faces: Path, out: Path) -> Face3d:
    """Fit the model to the training faces of a folder and write it.

    Args:
        faces: folder of face crops (.jpg) with landmarks68.npz; held-out faces are not used.
        out: the file (.safetensors).

    Raises:
        FacetrackError: the faces cannot be used, or the file cannot be written.
    """
    points = training_points(faces)
    model = fit(points)
    arrays = {
        "mean": model.mean.astype(np.float32),
        "modes": model.modes.astype(np.float32),
        "noise": model.noise.astype(np.float32),
    }
    metadata = {"faces": len(points), "scheme": SCHEME, "unit": "mm"}
    write_model(out, "face3d", arrays, metadata)
    return model


def fit(points: np.ndarray, modes: int = MODES) -> Face3d:
    """Fit a 3-D face to annotated faces.

    Args:
        points: (M, 68, 2) pixels, finite.
        modes: number of modes.
    """
    points = np.asarray(points, float)
    model, views = fit_rigid(points)
    model = _with_true_depth(model, views, points)
    model = _with_modes(model, fit_views(model, points), points, modes)
    return _at_zero(model)


# ---------------------------------------------------------------- without modes


def fit_rigid(points: np.ndarray, start: Face3d | None = None) -> tuple[Face3d, Views]:
    """Fit the mean face alone.

    Args:
        points: (M, 68, 2) pixels.
        start: the face to begin with; None for a head drawn as an ellipsoid.
    """
    model = start or _first_face(points)
    views = fit_views(model, points)
    for _ in range(RIGID_ROUNDS):
        views = _pose_steps(model, views, points, POSE_STEPS)
        model = _shape_step(model, views, points)
    return model, views


def _first_face(points: np.ndarray) -> Face3d:
    """Return the mean outline on an ellipsoid with a nose; the fit finds its true depth."""
    flat = procrustes_mean(np.concatenate([points, schemes.get(SCHEME).mirror(points, 0)]))
    x, y = EYE_CORNER_DISTANCE * flat.T
    depth = -60 * np.sqrt(np.maximum(0.05, 1 - (x / 80) ** 2 - (y / 110) ** 2))
    depth[27:31] -= (0, 6, 12, 18)
    depth[31:36] -= 8
    mean = symmetric(np.stack([x, y, depth], -1))
    noise = np.full(len(mean), FIRST_NOISE)
    return Face3d(mean - mean.mean(0), np.zeros((0, *mean.shape)), noise)


def fit_views(model: Face3d, points: np.ndarray, steps: int = 25) -> Views:
    """Fit the pose and the coefficients of each face.

    The fit begins with upright faces that look into the camera.

    Args:
        points: (M, 68, 2) pixels, finite.
        steps: number of Gauss-Newton steps.
    """
    flat = model.mean[:, :2] @ np.array([1, 1j])
    seen = points @ np.array([1, 1j])
    centre = seen.mean(1)
    fit = ((seen - centre[:, None]) * flat.conj()).sum(1) / (np.abs(flat) ** 2).sum()
    zero = np.zeros(len(points))
    count = len(model.modes)
    views = Views(
        rotations.from_vector(np.stack([zero, zero, np.angle(fit)], -1)),
        np.abs(fit),
        as_xy(centre),
        np.zeros((len(points), count)),
        np.zeros((len(points), count, count)),
    )
    return _pose_steps(model, views, points, steps)


def _weights(views: Views) -> np.ndarray:
    """Return how much each point of each face counts (M, 68): all alike, except on the jaw."""
    weight = np.ones((len(views.scale), 68))
    weight[:, list(JAW)] = JAW_WEIGHT
    yaw = np.degrees(rotations.to_angles(views.rotation)[:, 1])
    low, high = FAR_SIDE
    weight[:, 0:8] *= 1 - np.clip((yaw - low) / (high - low), 0, 1)[:, None]
    weight[:, 9:17] *= 1 - np.clip((-yaw - low) / (high - low), 0, 1)[:, None]
    return weight


def turned_faces(model: Face3d, views: Views) -> np.ndarray:
    """Return the faces (M, 68, 3), turned as they are seen, in mm."""
    faces = model.mean + np.tensordot(views.coefficients, model.modes, 1)
    return np.asarray(np.einsum("nab,nib->nia", views.rotation, faces))


def _remainders(model: Face3d, views: Views, points: np.ndarray) -> np.ndarray:
    """Return what the model leaves of the points (M, 68, 2), in pixels."""
    seen = views.scale[:, None, None] * turned_faces(model, views)[..., :2] + views.shift[:, None]
    return points - np.asarray(seen)


def _pose_steps(model: Face3d, views: Views, points: np.ndarray, steps: int) -> Views:
    """Improve the pose and the coefficients of each face by Gauss-Newton steps."""
    count, modes = len(points), len(model.modes)
    for _ in range(steps):
        scale = views.scale[:, None]
        weight = np.repeat(_weights(views) / (scale * model.noise) ** 2, 2, axis=1)
        turned = turned_faces(model, views)
        slope = np.zeros((count, 68, 2, 6 + modes))
        slope[:, :, 0, 1], slope[:, :, 0, 2] = scale * turned[..., 2], -scale * turned[..., 1]
        slope[:, :, 1, 0], slope[:, :, 1, 2] = -scale * turned[..., 2], scale * turned[..., 0]
        slope[..., 3] = scale[..., None] * turned[..., :2]
        slope[:, :, 0, 4] = slope[:, :, 1, 5] = 1
        if modes:
            ways = np.einsum("nab,kib->niak", views.rotation, model.modes)
            slope[..., 6:] = scale[..., None, None] * ways[:, :, :2]
        flat = slope.reshape(count, 136, -1)
        off = _remainders(model, views, points).reshape(count, 136)
        weighted = weight[..., None] * flat
        normal = np.swapaxes(flat, 1, 2) @ weighted
        right = np.einsum("nij,ni->nj", weighted, off)
        own = np.arange(6, 6 + modes)
        normal[:, own, own] += 1  # the prior of the coefficients
        right[:, 6:] -= views.coefficients
        damped = normal.copy()
        every = np.arange(6 + modes)
        damped[:, every, every] *= 1.003
        step = np.linalg.solve(damped, right[..., None])[..., 0]
        step[:, :4] = np.clip(step[:, :4], -MAX_STEP, MAX_STEP)
        views = Views(
            rotations.from_vector(step[:, :3]) @ views.rotation,
            views.scale * np.exp(step[:, 3]),
            views.shift + step[:, 4:6],
            views.coefficients + step[:, 6:],
            np.linalg.inv(normal)[:, 6:, 6:],
        )
    return views


def _shape_step(model: Face3d, views: Views, points: np.ndarray, hold: bool = False) -> Face3d:
    """Find the points of the mean and the modes by least squares, and the noise.

    Args:
        hold: keep the mean.
    """
    swap, modes = schemes.get(SCHEME).swap, len(model.modes)
    ones = np.ones((len(points), 1))
    known = np.concatenate([ones, views.coefficients], axis=1)[:, int(hold) :]
    pairs = known[:, :, None] * known[:, None, :]
    pairs[:, int(not hold) :, int(not hold) :] += views.covariance
    weight = _weights(views) / views.scale[:, None] ** 2
    target = points - views.shift[:, None]
    if hold:
        target = target - views.scale[:, None, None] * np.einsum(
            "nab,ib->nia", views.rotation[:, :2], model.mean
        )
    found = np.zeros((68, known.shape[1], 3))
    size = 3 * known.shape[1]
    for point, twin in enumerate(swap):
        if twin < point:
            found[point] = found[twin] * SIDES
            continue
        normal, right = np.zeros((size, size)), np.zeros(size)
        both = ((point, np.ones(3)), (twin, SIDES))[: 1 + (twin != point)]
        for index, sides in both:
            project = views.scale[:, None, None] * views.rotation[:, :2] * sides
            weighted = project * weight[:, index, None, None]
            square = np.swapaxes(project, 1, 2) @ weighted
            normal += np.einsum("nbc,nkl->kblc", square, pairs).reshape(size, size)
            right += np.einsum("nab,na,nk->kb", weighted, target[:, index], known).ravel()
        normal[range(size), range(size)] += 1e-3 * len(points)
        if hold:
            normal[range(2, size, 3), range(2, size, 3)] += DEPTH_PRIOR * len(points)
        if twin == point:  # on the middle line, x is 0
            normal[range(0, size, 3), range(0, size, 3)] += 1e12
        found[point] = np.linalg.solve(normal, right).reshape(-1, 3)
    mean = model.mean if hold else found[:, 0]
    ways = found if hold else found[:, 1:]
    model = replace(
        model, mean=mean, modes=ways.transpose(1, 0, 2).copy() if modes else model.modes
    )
    if not hold:
        factor = EYE_CORNER_DISTANCE / np.linalg.norm(np.subtract(*mean[list(OUTER_EYE_CORNERS)]))
        model = replace(model, mean=(mean - mean.mean(0)) * factor)
    return replace(model, noise=_noise(model, views, points))


def _noise(model: Face3d, views: Views, points: np.ndarray) -> np.ndarray:
    off = _remainders(model, views, points) / views.scale[:, None, None]
    square = np.minimum((off**2).sum(-1) / 2, (ROBUST * model.noise) ** 2)
    weight = _weights(views)
    value = (weight * square).sum(0) / weight.sum(0)
    value = (value + value[list(schemes.get(SCHEME).swap)]) / 2
    return np.asarray(np.sqrt(value).clip(MIN_NOISE))


# ---------------------------------------------------------------- depth


def _depth(mean: np.ndarray) -> float:
    """Return the depth of a face: from the outer eye corners to the tip of the nose, in mm."""
    return float(mean[list(OUTER_EYE_CORNERS), 2].mean() - mean[30, 2])


def _with_true_depth(model: Face3d, views: Views, points: np.ndarray) -> Face3d:
    """Correct the depth of the mean by a parametric bootstrap; see the module."""
    off = np.zeros((len(points), 68, 3))
    off[..., :2] = _remainders(model, views, points) / views.scale[:, None, None]
    back = np.einsum("nba,nib->nia", views.rotation, off)
    yaw = np.degrees(rotations.to_angles(views.rotation)[:, 1])
    frontal = np.flatnonzero(np.abs(yaw) < FRONTAL)
    picked = np.random.default_rng(0).choice(frontal, len(points))
    factor = 1.0
    for _ in range(BOOTSTRAPS):
        drawn = model.mean * (1, 1, factor) + back[picked]
        seen = np.einsum("nab,nib->nia", views.rotation[:, :2], drawn)
        simulated = views.scale[:, None, None] * seen + views.shift[:, None]
        again, _ = fit_rigid(simulated, model)
        factor *= _depth(model.mean) / _depth(again.mean)
    return replace(model, mean=model.mean * (1, 1, factor))


# ---------------------------------------------------------------- modes


def _with_modes(model: Face3d, views: Views, points: np.ndarray, count: int) -> Face3d:
    """Add modes one after another, each along the largest remaining variation."""
    for number in range(MODE_ROUNDS):
        if len(model.modes) < count:
            model, views = _add_mode(model, views, points)
        views = _pose_steps(model, views, points, POSE_STEPS)
        model = _shape_step(model, views, points, hold=True)
        model, views = _whitened(_without_motion(model), views)
        if number == MODE_ROUNDS - 1:
            model = replace(model, noise=_noise(model, views, points))
    return model


def _add_mode(model: Face3d, views: Views, points: np.ndarray) -> tuple[Face3d, Views]:
    off = np.zeros((len(points), 68, 3))
    off[..., :2] = _remainders(model, views, points) / views.scale[:, None, None]
    back = symmetric(np.einsum("nba,nib->nia", views.rotation, off))
    back = back * np.sqrt(_weights(views))[..., None]
    flat = back.reshape(len(points), -1)
    u, size, v = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    mode = symmetric(v[0].reshape(1, 68, 3)) * size[0] / np.sqrt(len(points))
    coefficients = np.concatenate([views.coefficients, u[:, :1] * np.sqrt(len(points))], axis=1)
    return (
        replace(model, modes=np.concatenate([model.modes, mode])),
        replace(views, coefficients=coefficients),
    )


def _without_motion(model: Face3d) -> Face3d:
    """Remove shifts, nods and changes of size of the whole head from the modes."""
    mean = model.mean
    nod = np.stack([np.zeros(68), -mean[:, 2], mean[:, 1]], -1)
    shifts = [np.tile(axis, (68, 1)) for axis in np.eye(3)]
    moves = np.array([nod, mean, *shifts])
    inner = moves[:, _INNER].reshape(len(moves), -1).T
    modes = [
        mode - np.tensordot(np.linalg.lstsq(inner, mode[_INNER].ravel(), rcond=None)[0], moves, 1)
        for mode in model.modes
    ]
    return replace(model, modes=np.array(modes).reshape(model.modes.shape))


def _whitened(model: Face3d, views: Views) -> tuple[Face3d, Views]:
    """Give the coefficients a covariance of 1, and sort the modes by size; the mean stays."""
    coefficients = views.coefficients - views.coefficients.mean(0)
    count = len(model.modes)
    covariance = np.cov(coefficients.T).reshape(count, count) + views.covariance.mean(0)
    root = np.linalg.cholesky(covariance)
    gram = np.einsum("kij,lij->kl", model.modes, model.modes)
    turn = root @ np.linalg.svd(root.T @ gram @ root)[0]
    modes = np.einsum("kl,kij->lij", turn, model.modes)
    inverse = np.linalg.inv(turn)
    return (
        replace(model, modes=modes),
        replace(
            views,
            coefficients=coefficients @ inverse.T,
            covariance=inverse @ views.covariance @ inverse.T,
        ),
    )


def _at_zero(model: Face3d) -> Face3d:
    """Turn the model to the zero position; see `facetrack.measures.face_model.ZERO_TILT`."""
    turn = rotations.from_vector(np.array([tilt_of(model.mean) - np.radians(ZERO_TILT), 0, 0]))
    return replace(model, mean=model.mean @ turn.T, modes=model.modes @ turn.T)
