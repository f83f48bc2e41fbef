"""Judge from landmarks alone whether they have the shape of a face.

A point distribution model (Cootes, Taylor, Cooper and Graham, "Active Shape Models: Their Training
and Application", CVIU 1995): the mean of many annotated faces after removing position, size and
rotation, and the directions in which they vary. As a probability density (Tipping and Bishop,
"Probabilistic Principal Component Analysis", JRSS B 1999) it also judges faces with unknown points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale
from facetrack.weights import resolve

PART = "shape"
MIN_KNOWN_POINTS = 24
"""Number of known points below which there is no error: fewer do not distinguish a distortion from
a face that is unusual among the training faces."""
MAX_SHAPE_ERROR = 100.0
"""Upper limit of the error, which would be infinite for points without extent."""
BATCH_SIZE = 256
"""Number of faces judged at once, which limits the memory for long videos."""


@dataclass(frozen=True)
class ShapeModel:
    """Distribution of the shapes of faces with 68 points (scheme "68").

    Attributes:
        mean: (68, 2) mean face; its centre is at 0, its outer eye corners are 1 apart.
        modes: (K, 68, 2) orthonormal directions of variation, at the size of the mean face.
        variances: (K,) variances of the training faces along the modes.
        noise: variance of every coordinate that the modes leave.
        usual: 99.9th percentile of the training faces' distances from the mean: the unit of errors.
    """

    mean: np.ndarray
    modes: np.ndarray
    variances: np.ndarray
    noise: float
    usual: float = 1.0

    @classmethod
    def load(cls, weights: str = "auto") -> ShapeModel:
        """Load the model that comes with facetrack, or one trained with `facetrack train shape`.

        Args:
            weights: "auto", a name of `facetrack.weights`, or the path of a file.

        Raises:
            FacetrackError: there is no such file, or it holds no shape model.
        """
        return read(resolve(PART, weights).path)

    def shape_error(self, xy: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """Compute how far points are from the shape of a face.

        One training face in a thousand has an error above 1. The error is invariant to position,
        rotation and size, and grows in proportion to large distortions, up to MAX_SHAPE_ERROR. It
        depends on the shape alone: a face in the wrong place, or another person's, is plausible.

        Args:
            xy: (..., 68, 2) pixels of any origin; NaN where unknown.
            weight: (..., 68) from 0 to 1, how much each point counts; 0 for hidden points. None:
                all count 1. Unknown points always count 0.

        Returns:
            (...) float64; NaN where fewer than MIN_KNOWN_POINTS points are known.
        """
        xy = np.asarray(xy, float)
        known = np.isfinite(xy).all(-1)
        weight = known * (1.0 if weight is None else np.asarray(weight, float))
        lead = xy.shape[:-2]
        flat, weights = xy.reshape(-1, *xy.shape[-2:]), weight.reshape(-1, xy.shape[-2])
        errors = np.full(len(flat), np.nan)
        enough = np.flatnonzero((weights > 0).sum(-1) >= MIN_KNOWN_POINTS)
        for start in range(0, len(enough), BATCH_SIZE):
            batch = enough[start : start + BATCH_SIZE]
            errors[batch] = self._errors(np.nan_to_num(flat[batch]), weights[batch])
        return errors.reshape(lead)

    def roll(self, xy: np.ndarray) -> float:
        """Return by how much a face has rolled, in radians.

        The roll is that of the mean face that fits the landmarks best: positive clockwise in the
        displayed picture, 0 for an upright face.

        Args:
            xy: (68, 2) finite landmarks in pixels.
        """
        fit = fit_rotation_scale(as_complex(self.mean), as_complex(xy))
        return float(np.angle(fit))

    def _errors(self, xy: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Compute errors (B,) of finite points (B, 68, 2) with weights (B, 68)."""
        off = align(xy, self.mean, weight) - self.mean
        count = len(self.variances)
        twice = np.repeat(weight, 2, axis=-1)
        off = off.reshape(len(off), -1)
        # Fit the most probable face: the coefficients c that minimise
        # |off - directions c|^2 / noise + c^2 / variances.
        weighted = twice[:, :, None] * self._directions
        normal = self._directions.T @ weighted / self.noise
        normal[:, range(count), range(count)] += 1 / self.variances
        right = np.einsum("bik,bi->bk", weighted, off) / self.noise
        fitted = np.linalg.solve(normal, right[..., None])[..., 0]
        far = (twice * off**2).sum(-1) / self.noise - (fitted * right).sum(-1)
        freedom = twice.sum(-1) - 4
        errors: np.ndarray = np.sqrt(far.clip(0) / freedom.clip(1)) / self.usual
        return np.where(np.isfinite(errors), errors, MAX_SHAPE_ERROR).clip(max=MAX_SHAPE_ERROR)

    @cached_property
    def _directions(self) -> np.ndarray:
        """(136, K + 4) the modes, and the four directions of a similarity, which cost nothing."""
        turned = np.stack([-self.mean[:, 1], self.mean[:, 0]], -1)
        steps = np.broadcast_to(np.eye(2)[:, None], (2, *self.mean.shape))
        free = np.concatenate([self.mean[None], turned[None], steps])
        return np.concatenate([self.modes, free]).reshape(-1, self.mean.size).T


def yaw_score(xy: np.ndarray) -> float:
    """Return how far a face is turned to a side.

    The score is the distance of the tip of the nose from the middle between the outer eye corners,
    along the line through them, in inter-ocular distances. It is 0 from the front, and 0.5 or more
    where the far eye is hardly visible.

    Args:
        xy: (68, 2) finite landmarks of scheme "68".
    """
    right, left, nose = (xy[i].astype(float) for i in (36, 45, 30))
    along = left - right
    return float(abs((nose - (left + right) / 2) @ along) / max(along @ along, 1e-9))


def align(xy: np.ndarray, mean: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Align points with a mean face.

    The similarity that maps the mean to the points by least squares is applied to them backwards.

    Args:
        xy: (..., N, 2) finite.
        mean: (N, 2).
        weight: (..., N) weights of the points in the least squares.

    Returns:
        (..., N, 2) at the mean's position and size; not finite where the points have no extent.
    """
    points, model = xy[..., 0] + 1j * xy[..., 1], mean[:, 0] + 1j * mean[:, 1]
    total = weight.sum(-1, keepdims=True)
    centre = (weight * points).sum(-1, keepdims=True) / total
    middle = (weight * model).sum(-1, keepdims=True) / total
    centred, spread = points - centre, model - middle
    # A complex factor is a scale and a rotation.
    fit = (weight * spread.conj() * centred).sum(-1, keepdims=True)
    fit = fit / (weight * np.abs(spread) ** 2).sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        aligned = centred / fit + middle
    return as_xy(aligned)


def read(path: Path) -> ShapeModel:
    """Read a shape model from a safetensors file.

    Raises:
        FacetrackError: the file cannot be read, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays: dict[str, Any] = {
                name: file.get_tensor(name).astype(float) for name in ("mean", "modes", "variances")
            }
            metadata = parse_json((file.metadata() or {})["shape_model"])
        count, points, _ = arrays["modes"].shape
        shapes = arrays["mean"].shape == (points, 2) and arrays["variances"].shape == (count,)
        numbers = np.array([metadata["noise"], metadata["usual"], *arrays["variances"]], float)
        finite = all(np.isfinite(value).all() for value in arrays.values())
        if not (shapes and finite and np.isfinite(numbers).all() and (numbers > 0).all()):
            raise ValueError("not a shape model")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FacetrackError(
            f"{path} is not a landmark shape model: train one with facetrack train shape."
        ) from error
    return ShapeModel(**arrays, noise=float(metadata["noise"]), usual=float(metadata["usual"]))
