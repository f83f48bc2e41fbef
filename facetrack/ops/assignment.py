"""Solve linear assignment problems."""

from __future__ import annotations

import dlib
import numpy as np


def linear_assignment(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of least cost in all: cost (R, C), finite; min(R, C) pairs."""
    if min(cost.shape) == 1:
        row, column = divmod(int(cost.argmin()), cost.shape[1])
        return [(row, column)]

    rows, columns = cost.shape
    gain = np.zeros((max(cost.shape), max(cost.shape)))
    gain[:rows, :columns] = -cost
    chosen = enumerate(dlib.max_cost_assignment(dlib.matrix(gain.tolist())))
    return [(i, j) for i, j in chosen if i < rows and j < columns]
