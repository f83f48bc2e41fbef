"""Can these landmarks be a face? A landmark shape model answers from the points alone.

A point distribution model (Cootes, Taylor, Cooper and Graham, "Active Shape Models: Their Training
and Application", CVIU 1995): the mean of many annotated faces, freed of place, size and rotation,
and the directions in which they vary. Read as a probability (Tipping and Bishop, "Probabilistic
Principal Component Analysis", JRSS B 1999) it also judges faces of which some points are unknown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.weights import resolve

PART = "shape"
FEWEST = 24
"""Known points below which nothing is said: too few to tell a distortion from a face at the edge of
what was seen in training."""
WORST = 100.0
"""Points that have no extent would be infinitely implausible."""
BLOCK = 256
"""Faces judged at once: a whole video needs no more memory than that."""


@dataclass(frozen=True)
class ShapeModel:
    """Which arrangements of 68 points (scheme "68") are faces.

    Attributes:
        mean: (68, 2) the mean face, its centre at 0, its outer eye corners 1 apart.
        modes: (K, 68, 2) orthonormal directions of variation, at that size.
        variances: (K,) of the training faces along them.
        noise: variance of every coordinate beside the modes.
        usual: of the training faces' distances from the mean, the 99.9th percentile: the unit.
    """

    mean: np.ndarray
    modes: np.ndarray
    variances: np.ndarray
    noise: float
    usual: float = 1.0

    @classmethod
    def load(cls, weights: str = "auto") -> ShapeModel:
        """The model that comes with facetrack, or one of `facetrack train shape`.

        Args:
            weights: "auto", a name of `facetrack.weights` or the path of a file.

        Raises:
            FacetrackError: there is no such file, or it holds no shape model.
        """
        return read(resolve(PART, weights).path)

    def shape_error(self, xy: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        """How far points are from any face: 1 where one training face in a thousand is.

        Does not change when all points are moved, turned or resized together. Grows in proportion
        to a large distortion; 100 at most. It sees shape alone: a face in the wrong place, or
        another's, is plausible.

        Args:
            xy: (..., 68, 2) pixels of any origin; NaN where unknown.
            weight: (..., 68) from 0 to 1, how much each point counts; 0 for hidden ones. All 1
                when None. What is unknown counts 0.

        Returns:
            (...) float64; NaN where fewer than FEWEST points are known.
        """
        xy = np.asarray(xy, float)
        known = np.isfinite(xy).all(-1)
        weight = known * (1.0 if weight is None else np.asarray(weight, float))
        lead = xy.shape[:-2]
        flat, counted = xy.reshape(-1, *xy.shape[-2:]), weight.reshape(-1, xy.shape[-2])
        out = np.full(len(flat), np.nan)
        enough = np.flatnonzero((counted > 0).sum(-1) >= FEWEST)
        for start in range(0, len(enough), BLOCK):
            some = enough[start : start + BLOCK]
            out[some] = self._judge(np.nan_to_num(flat[some]), counted[some])
        return out.reshape(lead)

    def _judge(self, xy: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(B, 68, 2) finite, (B, 68) -> (B,)."""
        off = align(xy, self.mean, weight) - self.mean
        count = len(self.variances)
        twice = np.repeat(weight, 2, axis=-1)
        off = off.reshape(len(off), -1)
        # The most probable face there is: of all coefficients c, the least
        # |off - directions c|^2 / noise + c^2 / variances.
        weighted = twice[:, :, None] * self._directions
        normal = self._directions.T @ weighted / self.noise
        normal[:, range(count), range(count)] += 1 / self.variances
        right = np.einsum("bik,bi->bk", weighted, off) / self.noise
        fitted = np.linalg.solve(normal, right[..., None])[..., 0]
        far = (twice * off**2).sum(-1) / self.noise - (fitted * right).sum(-1)
        freedom = twice.sum(-1) - 4
        judged: np.ndarray = np.sqrt(far.clip(0) / freedom.clip(1)) / self.usual
        return np.where(np.isfinite(judged), judged, WORST).clip(max=WORST)

    @cached_property
    def _directions(self) -> np.ndarray:
        """(136, K + 4): the modes, and the four of a similarity, which cost nothing."""
        turned = np.stack([-self.mean[:, 1], self.mean[:, 0]], -1)
        steps = np.broadcast_to(np.eye(2)[:, None], (2, *self.mean.shape))
        free = np.concatenate([self.mean[None], turned[None], steps])
        return np.concatenate([self.modes, free]).reshape(-1, self.mean.size).T


def yaw_score(xy: np.ndarray) -> float:
    """How far a face is turned to a side: how far the tip of the nose is from the middle between
    the outer eye corners, along them, in inter-ocular distances. 0 from the front; 0.5 and more
    where the far eye is hardly seen.

    Args:
        xy: (68, 2) finite landmarks of scheme "68".
    """
    right, left, nose = (xy[i].astype(float) for i in (36, 45, 30))
    along = left - right
    return float(abs((nose - (left + right) / 2) @ along) / max(along @ along, 1e-9))


def align(xy: np.ndarray, mean: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Points moved, turned and resized as the mean is when it is fitted to them, backwards.

    Args:
        xy: (..., N, 2) finite.
        mean: (N, 2).
        weight: (..., N), of each point in the least squares.

    Returns:
        (..., N, 2) at the mean's place and size; not finite where the points have no extent.
    """
    points, model = xy[..., 0] + 1j * xy[..., 1], mean[:, 0] + 1j * mean[:, 1]
    total = weight.sum(-1, keepdims=True)
    centre = (weight * points).sum(-1, keepdims=True) / total
    middle = (weight * model).sum(-1, keepdims=True) / total
    around, spread = points - centre, model - middle
    # A complex number is a size and a turn in one.
    fit = (weight * spread.conj() * around).sum(-1, keepdims=True)
    fit = fit / (weight * np.abs(spread) ** 2).sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        back = around / fit + middle
    return np.stack([back.real, back.imag], -1)


def read(path: Path) -> ShapeModel:
    """The shape model of a safetensors file.

    Raises:
        FacetrackError: it cannot be read, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            held: dict[str, Any] = {
                name: file.get_tensor(name).astype(float) for name in ("mean", "modes", "variances")
            }
            said = json.loads((file.metadata() or {})["shape_model"])
        count, points, _ = held["modes"].shape
        shapes = held["mean"].shape == (points, 2) and held["variances"].shape == (count,)
        numbers = np.array([said["noise"], said["usual"], *held["variances"]], float)
        finite = all(np.isfinite(value).all() for value in held.values())
        if not (shapes and finite and np.isfinite(numbers).all() and (numbers > 0).all()):
            raise ValueError("not a shape model")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FacetrackError(
            f"{path} is not a landmark shape model: train one with facetrack train shape."
        ) from error
    return ShapeModel(**held, noise=float(said["noise"]), usual=float(said["usual"]))
