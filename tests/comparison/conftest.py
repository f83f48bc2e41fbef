"""Fixtures of a comparison's tests."""

from __future__ import annotations

import pytest
from comparison_fakes import Fakes, SquareFaces, write_clip


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    """The clip, and the names of detectors and trackers taken over."""
    made = Fakes(write_clip(tmp_path / "dots.mp4"), SquareFaces("hog"))
    monkeypatch.setattr("facetrack.comparison.initialisers.create", made.detector)
    monkeypatch.setattr("facetrack.comparison.tracker_groups.create", made.tracker)
    monkeypatch.setattr("facetrack.face_detectors.create", lambda name: made.faces)
    # Squares have no landmarks of a face, and their finds are good all the same.
    monkeypatch.setattr(
        "facetrack.identity.verifier.FaceVerifier.shape_error", lambda self, xy: 0.0
    )
    return made
