"""Clips of a moving square, tracked by points of one's own: no face, so it is quick."""

from __future__ import annotations

from pathlib import Path

import clips
import pytest

from facetrack.pipeline.options import Options


@pytest.fixture(scope="session")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 12 frames."""
    return clips.write_clip(tmp_path_factory.mktemp("dots") / "dots.mp4", 12)


@pytest.fixture(scope="session")
def own_points(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """Follow two corners of the square."""
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text("x,y\n0,0\n7,7\n")
    return Options(init="points", points=path, tracker="lk")
