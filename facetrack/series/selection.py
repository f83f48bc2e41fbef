"""Select points, faces and times of tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    for item in [points] if isinstance(points, int | str | np.integer) else points:
        if isinstance(item, str):
            if item not in regions:
                known = ", ".join(regions) or "none"
                hint = did_you_mean(item, regions) or "."
                raise FacetrackError(f"There is no region {item!r}{hint} The regions are: {known}.")
            indices.update(dict.fromkeys(regions[item]))
        elif isinstance(item, bool | np.bool_) or item != int(item) or not 0 <= item < count:
            raise FacetrackError(f"There is no point {item}; points go from 0 to {count - 1}.")
        else:
            indices[int(item)] = None
    if not indices:
        raise FacetrackError("No points were named: name at least one.")
    return list(indices)


def face_numbers(faces: int | Iterable[int], known: Sequence[int]) -> list[int]:
    """Return the identities of faces, in the given order.

    Raises:
        FacetrackError: there is no such face.
    """
    chosen = [faces] if isinstance(faces, int | np.integer) else list(faces)
    for face in chosen:
        if face not in known:
            raise FacetrackError(
                f"There is no face {face}; the faces are {', '.join(map(str, known)) or 'none'}."
            )
    return [int(face) for face in dict.fromkeys(chosen)]


def rows_between(time: np.ndarray, span: tuple[float | None, float | None]) -> slice:
    """Return the rows whose time is at least the start and before the end of a span, in seconds.

    Raises:
        FacetrackError: the span has no row.
    """
    start, end = span
    first = 0 if start is None else int(np.searchsorted(time, start - 1e-9))
    stop = len(time) if end is None else int(np.searchsorted(time, end - 1e-9))
    if first >= stop:
        shown = f"{time[0]:.3f} to {time[-1]:.3f} s" if len(time) else "nothing"
        raise FacetrackError(f"There is no frame from {start} to {end} s; the tracks have {shown}.")
    return slice(first, stop)
