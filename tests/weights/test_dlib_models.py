"""Test the search for dlib's model files in an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from facetrack.errors import FacetrackError
from facetrack.weights import dlib_models

LANDMARKS = "shape_predictor_68_face_landmarks.dat"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a package that fails on import, in place of the installed one."""
    folder = tmp_path / dlib_models.PACKAGE
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    dlib_models.model_file.cache_clear()
    yield folder
    dlib_models.model_file.cache_clear()


def test_file_is_found_without_importing_the_package(package: Path) -> None:
    (package / "models" / LANDMARKS).write_bytes(b"trees")
    assert dlib_models.model_file(LANDMARKS).path.read_bytes() == b"trees"
    assert dlib_models.PACKAGE not in sys.modules


def test_sha256_matches_the_file(package: Path) -> None:
    (package / "models" / LANDMARKS).write_bytes(b"x" * 3_000_000)
    assert dlib_models.model_file(LANDMARKS).sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_missing_file_error_names_the_command(package: Path) -> None:
    with pytest.raises(FacetrackError, match=r"pip install .*face_recognition_models"):
        dlib_models.model_file(LANDMARKS)


def test_missing_package_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    dlib_models.model_file.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FacetrackError, match=r"pip install .*face_recognition_models"):
        dlib_models.model_file(LANDMARKS)


def test_licence_of_the_landmark_model_mentions_research(package: Path) -> None:
    (package / "models" / LANDMARKS).write_bytes(b"trees")
    assert "research" in dlib_models.model_file(LANDMARKS).describe()["licence"]


def test_installed_landmark_model_is_the_published_one() -> None:
    dlib_models.model_file.cache_clear()
    assert dlib_models.model_file(LANDMARKS).sha256 == (
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
    )
