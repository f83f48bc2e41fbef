"""Compare objects that hold arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np


class EqualByValue:
    """A dataclass that equals another if all fields do; in arrays, NaN equals NaN.

    The dataclass is declared with `eq=False`. Its objects cannot be hashed.
    """

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return all(_is_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        can_be_nan = first.dtype.kind == "f" and second.dtype.kind == "f"
        return np.array_equal(first, second, equal_nan=can_be_nan)
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return False
    return bool(first == second)
