"""`facetrack.pose`: one input or several, with the options of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from still_images import photo, save, stand_in

import facetrack
from facetrack.errors import FacetrackError


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def test_one_input_or_several(tmp_path: Path) -> None:
    picture, path = photo(), save(tmp_path / "a.png")
    (one,) = facetrack.pose(picture, method="network", face_detector="hog", device="cpu")
    both = facetrack.pose([path, picture], method="network", face_detector="hog", device="cpu")
    stack = facetrack.pose(np.stack([picture] * 2), method="network", face_detector="hog")
    assert isinstance(one, facetrack.HeadPoses)
    assert both[0].source == path
    for found in (*both, *stack):
        assert np.allclose(found.rotation, one.rotation, atol=1e-4)


def test_weights_are_chosen_by_keyword(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="neither a file nor"):
        facetrack.pose(photo(), method="network", pose_weights=tmp_path / "none.safetensors")
    with pytest.raises(FacetrackError, match="neither a file nor"):
        facetrack.pose(photo(), detector_weights="none.safetensors")


def test_wrong_keywords_are_type_errors() -> None:
    with pytest.raises(TypeError, match="did you mean method"):
        facetrack.pose(photo(), methd="network")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="focal must be a number"):
        facetrack.pose(photo(), focal="wide")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"pose\(\) takes an image"):
        facetrack.pose(3)  # type: ignore[arg-type]
