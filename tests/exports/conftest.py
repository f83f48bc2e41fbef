"""A run of two faces at a variable frame rate, with blinks and a gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered_heads as heads

from facetrack.exports.base import Source
from facetrack.measures.face_model import load
from facetrack.tracks import Tracks

COUNT = 90
GAP = slice(50, 60)
"""Rows in which the second face is unknown."""


@pytest.fixture(scope="session")
def tracks() -> Tracks:
    random = np.random.default_rng(0)
    time = np.cumsum(random.uniform(0.02, 0.046, COUNT)).round(6)
    shut = heads.blink(time, 0.8, 0.1, 0.2)
    both = heads.with_lids(load().mean, {"r": shut, "l": shut})
    left = heads.with_lids(load().mean, {"r": 0 * shut, "l": heads.blink(time, 1.2, 0.1, 0.2)})
    xy = np.stack(
        [heads.project(both, heads.turns(COUNT, 25)), heads.project(left, heads.turns(COUNT, 10))],
        1,
    ).astype(np.float32)
    visible = np.ones((COUNT, 2, 68), bool)
    confidence = random.uniform(0.5, 1, (COUNT, 2, 68)).astype(np.float32)
    xy[GAP, 1], visible[GAP, 1], confidence[GAP, 1] = np.nan, False, 0
    return replace(
        heads.tracks_of(xy[:, 0]),
        xy=xy,
        visible=visible,
        confidence=confidence,
        time=time,
        face_id=np.array([0, 3]),
    )


@pytest.fixture(scope="session")
def source(tracks: Tracks) -> Source:
    return Source(tracks, "a b", "/videos/é b.mp4")


@pytest.fixture(scope="session")
def free_source(tracks: Tracks) -> Source:
    """Points of the user's own, which have no head pose, at a constant rate."""
    free = replace(
        tracks,
        xy=tracks.xy[:, :, :5],
        visible=tracks.visible[:, :, :5],
        confidence=tracks.confidence[:, :, :5],
        time=np.arange(COUNT) / 25,
        scheme="points-5",
    )
    return Source(free, "free")
