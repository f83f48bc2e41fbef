"""Pictures for `facetrack detect`, a clip of a real face, and a run for `facetrack edit`."""

from __future__ import annotations

from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from short_runs import clip, record  # noqa: F401
from still_images import save


@pytest.fixture
def face(tmp_path: Path) -> Path:
    return save(tmp_path / "in/face.png")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A picture without a face."""
    return save(tmp_path / "in/empty.png", np.full((64, 96, 3), 99, np.uint8))


@pytest.fixture(scope="session")
def face_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a face, which face detectors find."""
    skimage = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("in") / "face.png"
    cv2.imwrite(str(path), np.ascontiguousarray(skimage.astronaut()[:256, 90:410, ::-1]))
    return path


@pytest.fixture(scope="session")
def face_clip(face_picture: Path) -> Path:
    """Three frames of it."""
    path = face_picture.with_name("face.mp4")
    clips.run_ffmpeg(
        *("-loop", "1", "-framerate", "25", "-i", str(face_picture), "-frames:v", "3"),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)),
    )
    return path
