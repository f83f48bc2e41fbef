"""Test the verification of faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facetrack.identity.verifier import UNKNOWN_PERSON, FaceVerifier


class CountingDescriptor:
    """Describe a face by its brightness, and count the descriptions."""

    def __init__(self) -> None:
        self.calls = 0

    def extract_chip(self, image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
        return None if np.isnan(xy).any() else image

    def describe_chip(self, chip: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full(128, chip.mean() / 100)


@pytest.fixture
def descriptor() -> CountingDescriptor:
    return CountingDescriptor()


@pytest.fixture
def verifier(descriptor: Any) -> FaceVerifier:
    return FaceVerifier("68", None, descriptor)  # type: ignore[arg-type]


def _grey(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def test_an_enrolled_face_is_described_at_the_first_recognition(verifier, descriptor):
    verifier.enroll_face(3, _grey(100), np.zeros((68, 2)))
    assert descriptor.calls == 0
    assert verifier.identify(np.full(128, 1.0), {3}) == 3
    assert verifier.identify_other(3, np.full(128, 0.5)) == UNKNOWN_PERSON
    assert descriptor.calls == 1


def test_a_face_without_a_chip_is_not_enrolled(verifier, descriptor):
    verifier.enroll_face(3, _grey(100), np.full((68, 2), np.nan))
    assert verifier.identify(np.full(128, 1.0), {3}) is None
    assert descriptor.calls == 0


def test_other_layouts_have_no_descriptor(descriptor: Any):
    verifier = FaceVerifier("29", None, descriptor)  # type: ignore[arg-type]
    verifier.enroll_face(3, _grey(100), np.zeros((29, 2)))
    assert verifier.identify(np.full(128, 1.0), {3}) is None


@pytest.mark.parametrize(("scheme", "count"), [("68", 68), ("29", 29)])
def test_only_68_points_have_a_yaw_score(descriptor: Any, scheme, count):
    xy = np.zeros((count, 2))
    if count == 68:
        xy[45] = (10, 0)
        xy[30] = (8, 3)
    verifier = FaceVerifier(scheme, None, descriptor)  # type: ignore[arg-type]
    assert verifier.yaw_score(xy) == pytest.approx(0.3 if count == 68 else 0.0)
