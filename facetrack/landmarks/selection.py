"""Select landmarks of a layout by number or region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.suggestions import did_you_mean

Points = int | str | Sequence[int | str]
"""Numbers of points, names of regions ("right_eye"), or several of both."""


def point_indices(points: Points, count: int, regions: Mapping[str, tuple[int, ...]]) -> list[int]:
    """Return the indices of points, without duplicates, in the given order.

    Args:
        points: numbers, names of regions, or both.
        count: number of points of the layout.
        regions: its regions.

    Raises:
        FacetrackError: there is no such point or region, or none was named.
    """
    indices: dict[int, None] = {}
    items: Iterable[Any] = [points] if np.isscalar(points) else points  # type: ignore[assignment]
    for item in items:
        if isinstance(item, str):
            if item not in regions:
                known = ", ".join(regions) or "none"
                hint = did_you_mean(item, regions) or "."
                raise FacetrackError(f"There is no region {item!r}{hint} The regions are: {known}.")
            indices.update(dict.fromkeys(regions[item]))
        elif not _is_index(item, count):
            raise FacetrackError(f"There is no point {item}; points go from 0 to {count - 1}.")
        else:
            indices[int(item)] = None
    if not indices:
        raise FacetrackError("No points were named: name at least one.")
    return list(indices)


def _is_index(item: Any, count: int) -> bool:
    is_number = isinstance(item, int | float | np.integer) and not isinstance(item, bool)
    return is_number and 0 <= item < count and item == int(item)
