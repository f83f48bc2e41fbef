"""Packed arrays: the values come back within half a step."""

from __future__ import annotations

import numpy as np
import unpacking
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facetrack.report.packing import pack, pack_times

VALUES = st.floats(-1e4, 1e4) | st.just(float("nan"))
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=6)


@given(arrays.arrays(np.float64, SHAPES, elements=VALUES), st.sampled_from([None, 1 / 8]))
def test_values_come_back(values, step):
    packed = pack(values, step)
    found = unpacking.numbers(packed).reshape(values.shape)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    known = np.isfinite(values)
    assert (np.abs(found - values)[known] <= packed["step"] * 0.501).all()
    span = np.ptp(values[known]) if known.any() else 0.0
    limit = span / 4000 if step is None else max(step, span / 0xFFF0)
    assert packed["step"] <= limit + 1e-12 or span == 0


def test_still_points_take_hardly_any_bytes():
    points = np.repeat(np.random.default_rng(0).uniform(0, 2000, (1, 68, 2)), 1000, 0)
    assert len(pack(points, 1 / 8)["data"]) < 2000


@given(st.lists(st.floats(-1, 5000), min_size=1, max_size=30))
def test_times_come_back_within_a_microsecond(times):
    time = np.array(sorted(times))
    found = unpacking.times(time[0], pack_times(time))
    np.testing.assert_allclose(found, time, atol=2e-6)
