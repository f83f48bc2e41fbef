"""Tracks to write."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from facetrack.tracks import Tracks


@pytest.fixture(scope="session")
def make_tracks() -> Callable[..., Tracks]:
    """`make_tracks(frames, faces, points, seed=0, first_frame=0)`: random, a fifth unknown."""
    return _random_tracks


@pytest.fixture(scope="session")
def cut_tracks() -> Callable[[Tracks, int, int], Tracks]:
    """`cut_tracks(tracks, start, stop)`: the frames from start to before stop."""
    return _piece


def _random_tracks(
    frames: int, faces: int, points: int, seed: int = 0, first_frame: int = 0
) -> Tracks:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-50, 4000, (frames, faces, points, 2)).astype(np.float32)
    unknown = rng.random((frames, faces, points)) < 0.2
    xy[unknown] = np.nan
    visible = (rng.random(unknown.shape) < 0.5) & ~unknown
    return Tracks(
        xy=xy,
        visible=visible,
        confidence=rng.random(unknown.shape).astype(np.float32),
        time=np.cumsum(rng.uniform(0.001, 0.1, frames)),
        face_id=np.arange(faces) * 3,
        scheme=f"points-{points}",
        size=(640, 480),
        first_frame=first_frame,
    )


def _piece(tracks: Tracks, start: int, stop: int) -> Tracks:
    part = slice(start, stop)
    return Tracks(
        xy=tracks.xy[part],
        visible=tracks.visible[part],
        confidence=tracks.confidence[part],
        time=tracks.time[part],
        face_id=tracks.face_id,
        scheme=tracks.scheme,
        size=tracks.size,
        first_frame=tracks.first_frame + start,
    )
