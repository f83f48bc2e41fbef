"""OpenCV's Haar cascade, where this OpenCV has it; else that it says so."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from facetrack.errors import FacetrackError
from facetrack.face_detectors import haar

HAS_CASCADE = hasattr(cv2, "CascadeClassifier") and hasattr(cv2, "data")
needs_cascade = pytest.mark.skipif(not HAS_CASCADE, reason="OpenCV 5 has no Haar cascades")


class Classifier:
    """Answers what the cascade would, as OpenCV's `detectMultiScale3` does."""

    def __init__(self, *boxes: tuple[int, int, int, int]) -> None:
        self.boxes = np.array(boxes, np.int32) if boxes else ()
        self.seen: list[tuple[int, ...]] = []

    def detectMultiScale3(self, grey: np.ndarray, *_: object, **__: object) -> tuple:  # noqa: N802
        self.seen.append(grey.shape)
        return self.boxes, (), np.ones(len(self.boxes))


def with_classifier(classifier: Classifier) -> haar.Haar:
    detector = haar.Haar()
    detector.__dict__["_model"] = classifier
    return detector


def test_boxes_are_corners_of_the_image_s_pixels() -> None:
    # Twice LONGEST wide: x, y, width and height are of a picture of half the size.
    detector = with_classifier(Classifier((10, 20, 40, 40)))
    found = detector.detect_raw(np.zeros((400, 2 * haar.MAX_SIDE_PX, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, [[20.5, 40.5, 98.5, 118.5]])


def test_work_is_bounded_on_a_large_frame() -> None:
    classifier = Classifier()
    found = with_classifier(classifier).detect(np.zeros((2160, 3840, 3), np.uint8))
    assert found.boxes.shape == (0, 4)
    assert classifier.seen == [(720, 1280)]


@pytest.mark.parametrize("shape", [(1, 1), (5, 400)])
def test_no_face_in_an_image_without_room_for_one(shape: tuple[int, int]) -> None:
    found = with_classifier(Classifier((0, 0, 1, 1))).detect(np.zeros((*shape, 3), np.uint8))
    assert (found.boxes.shape, found.score.shape) == ((0, 4), (0,))


@pytest.mark.skipif(HAS_CASCADE, reason="this OpenCV has the cascade")
def test_opencv_5_is_said_to_lack_the_cascade() -> None:
    with pytest.raises(FacetrackError, match="haar needs OpenCV 4"):
        haar.Haar().detect(np.zeros((64, 64, 3), np.uint8))


@needs_cascade
def test_finds_the_face() -> None:
    detector = haar.Haar()
    box = detector.detect(astronaut()).boxes[0]
    np.testing.assert_allclose(box, [179, 83, 266, 170], atol=12)  # dlib's HOG box
    assert len(detector.describe()["sha256"]) == 64
