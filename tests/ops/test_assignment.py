"""Test linear assignment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from facetrack.ops.assignment import linear_assignment

COSTS = arrays(
    float, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1000, width=32)
)


@given(COSTS)
def test_total_cost_is_minimal(cost: np.ndarray) -> None:
    pairs = linear_assignment(cost)
    rows, columns = zip(*pairs, strict=True)
    assert len(set(rows)) == len(set(columns)) == len(pairs) == min(cost.shape)
    least = cost[linear_sum_assignment(cost)].sum()
    assert sum(cost[pair] for pair in pairs) == pytest.approx(least, abs=1e-6)
