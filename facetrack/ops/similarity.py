"""Point sets laid over one another."""

from __future__ import annotations

import numpy as np


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares map source -> target, both (N, 2): (2, 2) and (2,), p -> A p + b."""
    fit = turn(as_complex(source), as_complex(target))
    matrix = np.array([[fit.real, -fit.imag], [fit.imag, fit.real]])
    return matrix, target.mean(0) - matrix @ source.mean(0)


def turn(rest: np.ndarray, now: np.ndarray) -> complex:
    """How points have turned and grown, as a factor on their differences, by least squares.

    Args:
        rest, now: (N,) before and after, as complex numbers x + iy (`as_complex`).

    Returns:
        0 for points that all lay in one place.
    """
    rest, now = rest - rest.mean(), now - now.mean()
    size = (np.abs(rest) ** 2).sum()
    return complex((rest.conj() * now).sum() / size) if size else 0j


def as_complex(xy: np.ndarray) -> np.ndarray:
    """(..., 2) -> (...) x + iy."""
    xy = np.asarray(xy, float)
    return np.asarray(xy[..., 0] + 1j * xy[..., 1])
