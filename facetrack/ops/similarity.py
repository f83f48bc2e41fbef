"""Fit similarity transforms between sets of points by least squares."""

from __future__ import annotations

import numpy as np


def fit_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the similarity p -> A p + b that maps `source` to `target`, both (N, 2).

    Returns:
        A (2, 2) and b (2,).
    """
    factor = fit_rotation_scale(as_complex(source), as_complex(target))
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return matrix, target.mean(0) - matrix @ source.mean(0)


def fit_rotation_scale(source: np.ndarray, target: np.ndarray) -> complex:
    """Fit the rotation and scale that map `source` to `target`, whatever their centres.

    Args:
        source, target: (N,) points as complex numbers x + iy (`as_complex`).

    Returns:
        The complex factor: its modulus is the scale, its argument the rotation. 0 where all source
        points coincide.
    """
    source, target = source - source.mean(), target - target.mean()
    power = (np.abs(source) ** 2).sum()
    return complex((source.conj() * target).sum() / power) if power else 0j


def as_complex(xy: np.ndarray) -> np.ndarray:
    """Convert points (..., 2) to complex numbers (...) x + iy."""
    xy = np.asarray(xy, float)
    return np.asarray(xy[..., 0] + 1j * xy[..., 1])


def as_xy(values: np.ndarray) -> np.ndarray:
    """Convert complex numbers (...) x + iy to points (..., 2)."""
    return np.stack([values.real, values.imag], -1)
