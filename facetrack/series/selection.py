"""Select faces and times of tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from facetrack.errors import FacetrackError


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
