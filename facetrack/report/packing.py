"""Pack arrays for the page's scripts: quantised, as differences in time, deflated, in base64.

`numbers` in `template/store.js` is the inverse.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

UNKNOWN = 0xFFFF
"""Code of NaN."""
_MAX_CODE = 0xFFF0
CURVE_STEPS = 4000
"""Steps between the least and the largest value of a curve."""


def pack(values: np.ndarray, step: float | None = None) -> dict[str, Any]:
    """Pack numbers that change little from row to row.

    Args:
        values: (T, ...) finite or NaN.
        step: distance of the values that are kept, raised if the range needs it; None: that of
            CURVE_STEPS.

    Returns:
        `low` and `step`, so that a value is low + code * step; `width`, the number of values per
        row; and `data`: the lower, then the upper bytes of the codes' differences from row to row,
        modulo 2^16, of which the first row is the difference from 0.
    """
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    known = np.isfinite(rows)
    low, high = (float(rows[known].min()), float(rows[known].max())) if known.any() else (0.0, 0.0)
    wanted = (high - low) / CURVE_STEPS if step is None else step
    step = max(wanted, (high - low) / _MAX_CODE) or 1.0
    codes = np.full(rows.shape, UNKNOWN, np.int64)
    codes[known] = np.round((rows[known] - low) / step)
    differences = np.diff(codes, axis=0, prepend=0) & 0xFFFF
    flat = differences.astype("<u2").ravel()
    planes = np.concatenate([flat & 0xFF, flat >> 8]).astype(np.uint8)
    return {"low": low, "step": step, "width": rows.shape[1], "data": deflate(planes)}


def pack_bytes(values: np.ndarray) -> str:
    """Pack an array of bytes (T, ...)."""
    return deflate(np.ascontiguousarray(values, np.uint8))


def pack_times(time: np.ndarray) -> str:
    """Pack times (T,) in seconds as differences in whole microseconds, float64."""
    return deflate(np.diff(np.round(np.asarray(time) * 1e6)).astype("<f8"))


def deflate(array: np.ndarray) -> str:
    """Return bytes as base64 of a zlib stream."""
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")
