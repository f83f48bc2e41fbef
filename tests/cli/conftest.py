"""Pictures for `facetrack detect`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from still_images import save


@pytest.fixture
def face(tmp_path: Path) -> Path:
    return save(tmp_path / "in/face.png")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A picture without a face."""
    return save(tmp_path / "in/empty.png", np.full((64, 96, 3), 99, np.uint8))
