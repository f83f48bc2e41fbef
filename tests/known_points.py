"""Tracks of points whose places are known, for tests of what is made of tracks."""

from __future__ import annotations

from typing import Any

import numpy as np

from facetrack.tracks import Tracks


def tracks_at(xy: np.ndarray, scheme: str, size: tuple[int, int], **changes: Any) -> Tracks:
    """Return tracks of points (T, F, N, 2), seen and certain where they are not NaN, at 25 fps."""
    known = np.isfinite(xy).all(-1)
    values = {
        "xy": xy.astype(np.float32),
        "visible": known,
        "confidence": known.astype(np.float32),
        "time": np.arange(len(xy)) / 25,
        "face_id": np.arange(xy.shape[1]),
        "scheme": scheme,
        "size": size,
    }
    return Tracks(**{**values, **changes})
