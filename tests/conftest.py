"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import http_files
import pytest
from http_files import Server
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("facetrack", deadline=None)
settings.load_profile("facetrack")

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


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local web server for weights, and an empty cache of this test's own."""
    http_files.prepare(monkeypatch, tmp_path / "home")
    with http_files.serving() as running:
        yield running
