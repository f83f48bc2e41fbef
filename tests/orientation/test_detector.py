"""A detector of upright faces places those at any roll."""

from __future__ import annotations

import numpy as np
import pytest
from upright_faces import UprightLandmarks, draw_face

from facetrack.detectors import DetectorOptions
from facetrack.detectors.mapped import MappedDetector
from facetrack.errors import FacetrackError
from facetrack.orientation import detector as oriented
from facetrack.orientation.detector import OrientedDetector
from facetrack.orientation.placement import rolled_box
from facetrack.orientation.search import places_any_roll

CENTRE, SIZE = (160.0, 120.0), 45.0


def no_judge() -> UprightLandmarks:
    raise AssertionError("a calibrated detector needs no judge")


def error(xy: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean distance in per cent of the inter-ocular distance."""
    return float(100 * np.linalg.norm(xy - truth, axis=-1).mean() / SIZE)


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_faces_at_any_roll_are_placed(degrees: int) -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(degrees))
    box = rolled_box(truth, np.radians(degrees))
    found = OrientedDetector(UprightLandmarks(), no_judge).detect(image, box[None])
    assert error(found.xy[0], truth) < 2
    assert found.score.min() > 0.8


def test_upright_faces_get_the_same_landmarks_for_one_look() -> None:
    image, truth = draw_face(CENTRE, SIZE, 0.2)
    box, inside = rolled_box(truth, 0.0), UprightLandmarks()
    expected = inside.detect(image, box[None])
    inside.calls = 0
    found = OrientedDetector(inside, no_judge).detect(image, box[None])
    np.testing.assert_array_equal(found.xy, expected.xy)
    np.testing.assert_array_equal(found.score, expected.score)
    assert inside.calls == 1


def test_what_is_no_face_in_any_turn_has_no_landmarks() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    found = OrientedDetector(UprightLandmarks(), no_judge).detect(
        image, np.array([[100.0, 60.0, 219.0, 179.0]])
    )
    assert np.isnan(found.xy).all()
    assert not found.score.any()


def test_several_images_and_faces_keep_their_order() -> None:
    lying, first = draw_face(CENTRE, SIZE, np.radians(90))
    upright, second = draw_face((120, 100), SIZE, 0.0)
    boxes = [rolled_box(first, np.radians(90))[None], rolled_box(second, 0.0)[None]]
    found = OrientedDetector(UprightLandmarks(), no_judge).detect_many([lying, upright], boxes)
    assert error(found[0].xy[0], first) < 2
    assert error(found[1].xy[0], second) < 2


def test_a_grey_image_is_turned() -> None:
    inside = UprightLandmarks()
    image = np.zeros((240, 320), np.uint8)
    found = OrientedDetector(inside, no_judge).detect(
        image, np.array([[100.0, 60.0, 219.0, 179.0]])
    )
    assert np.isnan(found.xy).all()


def test_weights_of_unknown_scores_are_turned_by_the_judge() -> None:
    image, truth = draw_face(CENTRE, SIZE, np.radians(180))
    box = rolled_box(truth, np.radians(180))
    found = OrientedDetector(UprightLandmarks("own.pth"), UprightLandmarks).detect(image, box[None])
    assert error(found.xy[0], truth) < 2


def test_weights_of_unknown_scores_are_kept_where_the_judge_sees_no_face() -> None:
    image, box = np.zeros((240, 320, 3), np.uint8), np.array([[100.0, 60.0, 219.0, 179.0]])
    inside = UprightLandmarks("own.pth")
    found = OrientedDetector(inside, UprightLandmarks).detect(image, box)
    np.testing.assert_array_equal(found.xy, inside.detect(image, box).xy)


def test_no_boxes_give_no_landmarks() -> None:
    image = np.zeros((24, 32, 3), np.uint8)
    found = OrientedDetector(UprightLandmarks(), no_judge).detect(image, np.empty((0, 4)))
    assert found.xy.shape == (0, 68, 2)


def test_created_detectors_handle_any_roll() -> None:
    assert places_any_roll(oriented.create("ert", DetectorOptions()))
    assert not places_any_roll(UprightLandmarks())
    with pytest.raises(FacetrackError, match="98"):
        oriented.create("ert", DetectorOptions(), "98")


def test_mapped_detectors_handle_the_rolls_of_the_detector_inside() -> None:
    inside = OrientedDetector(UprightLandmarks(), no_judge)
    assert places_any_roll(MappedDetector(inside, "68"))
    assert not places_any_roll(MappedDetector(UprightLandmarks(), "68"))
