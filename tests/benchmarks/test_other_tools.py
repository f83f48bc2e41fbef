"""Other tools beside ours: their points start at the truth and go where the tool goes."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks.common.other_tools import MediaPipe
from facetrack.errors import FacetrackError

SIZE = np.array([640, 480])
VERTICES = np.random.default_rng(0).uniform(100, 300, (30, 2))


class FakeMesh:
    """A face that is `frame`'s first pixel to the right, turned by a right angle from 100 on."""

    def __init__(self, **options: object) -> None:
        pass

    def process(self, frame: np.ndarray) -> SimpleNamespace:
        """What MediaPipe would say."""
        value = int(frame[0, 0, 0])
        if value == 255:
            return SimpleNamespace(multi_face_landmarks=None)
        xy = VERTICES + (value, 0)
        if value >= 100:
            xy = 2 * VERTICES @ np.array([[0, 1], [-1, 0]]) + (600, 0)
        marks = [SimpleNamespace(x=p[0], y=p[1]) for p in (xy + 0.5) / SIZE]
        return SimpleNamespace(multi_face_landmarks=[SimpleNamespace(landmark=marks)])


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> MediaPipe:
    names = ["mediapipe"]
    names += [
        f"mediapipe.{n}" for n in ("python", "python.solutions", "python.solutions.face_mesh")
    ]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["mediapipe"].__version__ = "0"  # type: ignore[attr-defined]
    sys.modules[names[-1]].FaceMesh = FakeMesh  # type: ignore[attr-defined]
    return MediaPipe()


def frame(value: int) -> np.ndarray:
    return np.full((480, 640, 3), value, np.uint8)


def test_points_go_with_the_mesh_and_its_turn(tool: MediaPipe) -> None:
    points = VERTICES[:9] + (1, 2)
    state = tool.start(frame(0), points)
    found = tool.step(state, np.stack([frame(0), frame(7), frame(100)]))
    np.testing.assert_allclose(found.xy[0], points, atol=1e-3)
    np.testing.assert_allclose(found.xy[1], points + (7, 0), atol=1e-3)
    turned = 2 * points @ np.array([[0, 1], [-1, 0]]) + (600, 0)
    np.testing.assert_allclose(found.xy[2], turned, atol=1e-2)
    assert found.visible.all()


def test_frames_without_a_face_have_no_answer(tool: MediaPipe) -> None:
    state = tool.start(frame(0), VERTICES[:3])
    found = tool.step(state, np.stack([frame(255), frame(1)]))
    assert np.isnan(found.xy[0]).all()
    assert np.isfinite(found.xy[1]).all()
    nothing = tool.step(tool.start(frame(255), VERTICES[:3]), frame(0)[None])
    assert np.isnan(nothing.xy).all()


def test_without_the_package_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(FacetrackError, match="pip install"):
        MediaPipe()
