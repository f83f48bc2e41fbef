"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clips
import http_files
import numpy as np
import pytest
from http_files import Server
from hypothesis import settings

from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks

# No deadline, because the time of an example depends on the machine.
settings.register_profile("facetrack", deadline=None)
settings.load_profile("facetrack")

# Shells start background jobs with Ctrl-C ignored, and facetrack leaves an ignored signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("FACETRACK_SHARED", Path(__file__).parents[2] / "shared"))


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent (research data, not part of the project)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real clips and annotated faces (`videos/`, `faces68_train/`, ...)."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Return the folder of inputs that users had trouble with."""
    return _shared("cases")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of reference implementations' outputs on synthetic weights."""
    return _shared("golden")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a local web server for weights, with an empty cache."""
    http_files.prepare(monkeypatch, tmp_path / "home")
    with http_files.serving() as running:
        yield running


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a clip of 12 frames with a moving square and no face, which is quick to track."""
    return clips.write_clip(tmp_path_factory.mktemp("dots") / "dots.mp4", 12)


@pytest.fixture(scope="session")
def own_points(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """Return options that track two corners of the square in `dots`."""
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text("x,y\n0,0\n7,7\n")
    return Options(init="points", points=path, tracker="lk")


@pytest.fixture(scope="session")
def make_tracks() -> Callable[..., Tracks]:
    """Return `make_tracks(frames, faces, points, seed=0, first_frame=0)` for random tracks.

    A fifth of the points is unknown.
    """
    return _random_tracks


@pytest.fixture(scope="session")
def cut_tracks() -> Callable[[Tracks, int, int], Tracks]:
    """Return `cut_tracks(tracks, start, stop)`, which selects the rows start..stop - 1."""
    return _slice_tracks


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


def _slice_tracks(tracks: Tracks, start: int, stop: int) -> Tracks:
    rows = slice(start, stop)
    return Tracks(
        xy=tracks.xy[rows],
        visible=tracks.visible[rows],
        confidence=tracks.confidence[rows],
        time=tracks.time[rows],
        face_id=tracks.face_id,
        scheme=tracks.scheme,
        size=tracks.size,
        first_frame=tracks.first_frame + start,
    )


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium of the module's own."""
    from chromium import start  # needs selenium

    running = start(tmp_path_factory.mktemp("chromium"))
    yield running
    running.quit()
