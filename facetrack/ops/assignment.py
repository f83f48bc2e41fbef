"""Solve linear assignment problems."""

from __future__ import annotations

import numpy as np


def linear_assignment(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pair rows with columns at the least total cost.

    Args:
        cost: (R, C) finite.

    Returns:
        min(R, C) pairs (row, column); no row or column occurs twice.
    """
    if min(cost.shape) == 1:
        row, column = divmod(int(cost.argmin()), cost.shape[1])
        return [(row, column)]
    import dlib  # late, because it takes long to import and most frames show one face

    rows, columns = cost.shape
    # dlib maximises, and needs a square matrix.
    gain = np.zeros((max(cost.shape), max(cost.shape)))
    gain[:rows, :columns] = -cost
    chosen = enumerate(dlib.max_cost_assignment(dlib.matrix(gain.tolist())))
    return [(i, j) for i, j in chosen if i < rows and j < columns]
