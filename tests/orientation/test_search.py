"""Faces at any roll are found, and upright ones cost nothing more."""

from __future__ import annotations

import numpy as np
import pytest
from upright_faces import UprightFaces, UprightLandmarks, draw_face

from facetrack.multiface.detection import FaceLandmarker
from facetrack.orientation.detector import OrientedDetector
from facetrack.orientation.search import distinct, eye_roll, find_at_any_roll, quarter_of

CENTRE, SIZE = (150.0, 125.0), 40.0
NOTHING = np.array([10.0, 10.0, 59.0, 59.0])


def landmarker(faces: UprightFaces) -> FaceLandmarker:
    detector = OrientedDetector(UprightLandmarks(), UprightLandmarks)
    return FaceLandmarker(detector, faces, faces)


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_a_thorough_search_finds_faces_at_any_roll(degrees: int) -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(degrees))
    (face,) = landmarker(UprightFaces()).find(image, 1, thorough=True)
    assert np.linalg.norm(face.xy - truth, axis=-1).mean() < 0.02 * SIZE
    middle = (face.box[:2] + face.box[2:]) / 2
    assert np.linalg.norm(middle - truth.mean(0)) < 0.3 * SIZE


def test_faces_at_odd_angles_are_found_by_detectors_of_upright_faces_only() -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(135))
    (face,) = landmarker(UprightFaces(max_roll=30)).find(image, 1, thorough=True)
    assert np.linalg.norm(face.xy - truth, axis=-1).mean() < 0.02 * SIZE


def test_an_upright_face_takes_one_search() -> None:
    image, _ = draw_face(CENTRE, SIZE, 0.1)
    faces = UprightFaces()
    assert len(landmarker(faces).find(image, 1, thorough=True)) == 1
    assert faces.calls == 1


def test_a_quick_search_is_for_upright_faces() -> None:
    image, _ = draw_face(CENTRE, SIZE, np.radians(90))
    faces = UprightFaces()
    assert landmarker(faces).find(image) == []
    assert faces.calls == 1


def test_an_expected_face_is_found_at_its_roll() -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(90))
    faces = UprightFaces()
    (face,) = landmarker(faces).find(image, expected=[truth])
    assert np.linalg.norm(face.xy - truth, axis=-1).mean() < 0.02 * SIZE
    assert faces.calls == 2


def test_a_face_found_in_two_turns_is_one() -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(50))
    assert len(landmarker(UprightFaces(max_roll=60)).find(image, expected=[truth])) == 1


def test_a_false_face_does_not_hide_one_that_lies() -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(180))
    (face,) = landmarker(UprightFaces(always=NOTHING)).find(image, 1, thorough=True)
    assert np.linalg.norm(face.xy - truth, axis=-1).mean() < 0.02 * SIZE


def test_a_false_face_does_not_hide_a_smaller_upright_one() -> None:
    image, truth = draw_face(CENTRE, SIZE, 0.0)
    (face,) = landmarker(UprightFaces(always=NOTHING)).find(image, 1)
    assert np.linalg.norm(face.xy - truth, axis=-1).mean() < 0.02 * SIZE


def test_no_face_is_found_where_there_is_none() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    faces = UprightFaces(always=NOTHING)
    assert landmarker(faces).find(image, 1, thorough=True) == []
    detector = OrientedDetector(UprightLandmarks(), UprightLandmarks)
    boxes, marks = find_at_any_roll(faces, detector, image)
    assert boxes.shape == (0, 4)
    assert marks.xy.shape == (0, 68, 2)
    assert marks.score.shape == (0, 68)


@pytest.mark.parametrize("degrees", [0, 44, 91, 179, 268])
def test_the_roll_of_tracked_points(degrees: int) -> None:
    _, xy = draw_face(CENTRE, SIZE, np.radians(degrees))
    assert quarter_of(xy, "68") == round(degrees / 90) % 4
    assert np.cos(eye_roll(xy, "68") - np.radians(degrees)) > 0.999


def test_unknown_points_have_no_roll() -> None:
    assert quarter_of(np.full((68, 2), np.nan), "68") == 0
    assert quarter_of(np.zeros((0, 2)), "68") == 0
    assert quarter_of(np.zeros((5, 2)), "points-5") == 0


def test_second_landmarks_of_a_face_are_dropped() -> None:
    _, xy = draw_face(CENTRE, SIZE, 0.0)
    unknown = np.full_like(xy, np.nan)
    assert distinct(np.stack([unknown, xy, xy + 3, xy + 100])) == [1, 3]
    assert distinct(np.empty((0, 68, 2))) == []
