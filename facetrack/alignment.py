"""Point sets laid over one another."""

from __future__ import annotations

import numpy as np


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares map source -> target, both (N, 2): (2, 2) and (2,), p -> A p + b."""
    a, b = (points @ np.array([1, 1j]) for points in (source, target))
    around, wanted = a - a.mean(), b - b.mean()
    fit = (around.conj() * wanted).sum() / (np.abs(around) ** 2).sum()
    turn = np.array([[fit.real, -fit.imag], [fit.imag, fit.real]])
    return turn, target.mean(0) - turn @ source.mean(0)
