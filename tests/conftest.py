"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("FACETRACK_SHARED", Path(__file__).parents[2] / "shared"))


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent (research data, not part of the project)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and annotated faces: `videos/`, `faces68_train/`, `badja/`."""
    return _shared("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Outputs of the reference implementations on synthetic weights."""
    return _shared("golden")
