"""When faces are described, and what is remembered of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facetrack.identity.verifier import STRANGER, FaceVerifier


class Looks:
    """Describes a picture by its brightness, and counts how often."""

    def __init__(self) -> None:
        self.asked = 0

    def picture(self, image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
        return None if np.isnan(xy).any() else image

    def descriptor(self, picture: np.ndarray) -> np.ndarray:
        self.asked += 1
        return np.full(128, picture.mean() / 100)


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def judge(looks: Any) -> FaceVerifier:
    return FaceVerifier("68", None, looks)  # type: ignore[arg-type]


def _grey(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def test_a_first_face_is_described_when_somebody_is_to_be_recognised(judge, looks):
    judge.remember_face(3, _grey(100), np.zeros((68, 2)))
    assert looks.asked == 0
    assert judge.who(np.full(128, 1.0), {3}) == 3
    assert judge.someone_else(3, np.full(128, 0.5)) == STRANGER
    assert looks.asked == 1


def test_a_face_that_does_not_tell_is_not_remembered(judge, looks):
    judge.remember_face(3, _grey(100), np.full((68, 2), np.nan))
    assert judge.who(np.full(128, 1.0), {3}) is None
    assert looks.asked == 0


def test_other_layouts_have_no_look(looks: Any):
    judge = FaceVerifier("29", None, looks)  # type: ignore[arg-type]
    judge.remember_face(3, _grey(100), np.zeros((29, 2)))
    assert judge.who(np.full(128, 1.0), {3}) is None


@pytest.mark.parametrize(("scheme", "count"), [("68", 68), ("29", 29)])
def test_of_68_points_alone_it_is_known_how_far_a_face_is_turned(looks: Any, scheme, count):
    xy = np.zeros((count, 2))
    if count == 68:
        xy[45] = (10, 0)
        xy[30] = (8, 3)
    judge = FaceVerifier(scheme, None, looks)  # type: ignore[arg-type]
    assert judge.yaw_score(xy) == pytest.approx(0.3 if count == 68 else 0.0)
