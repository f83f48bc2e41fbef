"""The benchmark of face detectors knows where the pasted faces are, and counts what is found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_faces import drawn_face

from benchmarks.accuracy import face_detectors as script
from benchmarks.common.heldout import Face
from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes


@pytest.fixture
def face() -> Face:
    """Return a blue picture with a red square that is the face's box."""
    points = drawn_face()
    image = np.zeros((352, 352, 3), np.uint8)
    image[..., 2] = 255
    x0, y0, x1, y1 = np.round(hog_box(points)).astype(int)
    image[y0 : y1 + 1, x0 : x1 + 1] = [255, 0, 0]
    return Face(image, points)


@pytest.mark.parametrize("size", script.SIZES)
def test_the_box_is_where_the_face_is_shown(face: Face, size: str) -> None:
    shown = script.pasted(face, size, "as they are", np.random.default_rng(0))
    red = (shown.image[..., 0] > 200) & (shown.image[..., 1] < 20) & (shown.image[..., 2] < 60)
    y, x = np.nonzero(cv2.morphologyEx(red.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5))))
    np.testing.assert_allclose(shown.box, [x.min(), y.min(), x.max(), y.max()], atol=2)
    low, high = script.SIZES[size]
    assert low <= shown.box[2] - shown.box[0] <= high
    assert shown.image.shape == (480, 640, 3)


def test_lights_change_the_picture(face: Face) -> None:
    size = "80 to 200 px"
    plain, dark, blurred = (
        script.pasted(face, size, light, np.random.default_rng(1)).image.astype(float)
        for light in script.LIGHTS
    )
    assert dark.mean() == pytest.approx(plain.mean() / 4, rel=0.1)
    assert blurred.mean() == pytest.approx(plain.mean(), rel=0.02)
    assert np.abs(np.diff(blurred, axis=1)).max() < np.abs(np.diff(plain, axis=1)).max() / 2


class Answering:
    """Finds the face of large pictures, and something else in all."""

    name = "answering"

    def __init__(self, box: np.ndarray) -> None:
        self.box = box

    def detect(self, image: np.ndarray) -> FaceBoxes:
        boxes = [[0, 0, 5, 5], self.box + 3] if image.shape[0] == 480 else [[0, 0, 5, 5]]
        return FaceBoxes(np.array(boxes, np.float32), np.ones(len(boxes), np.float32))


def test_the_row_counts_found_and_false_boxes(face: Face) -> None:
    size = "40 to 80 px"
    shown = script.pasted(face, size, "blurred", np.random.default_rng(0))
    crop = script.Shown(face.image, hog_box(face.points), script.AS_IT_IS, script.AS_IT_IS)
    pictures = [crop, shown]
    for other in script.SIZES:
        if other != size:
            light = script.LIGHTS[0] if other == "20 to 40 px" else script.LIGHTS[1]
            pictures.append(shown._replace(box=shown.box + 200, size=other, light=light))
    faceless = [np.zeros((480, 640, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)]
    cells, answers = script.row_of(Answering(shown.box), pictures, faceless)
    # Crops, three sizes, three lights; 1 + 2 + 2 false boxes on three pictures, 2 + 1 elsewhere.
    assert cells[:7] == ["0.0", "0.0", "100.0", "0.0", "0.0", "0.0", "100.0"]
    assert cells[7:9] == ["1.667", "3"]
    assert len(answers) == len(pictures)


def test_pictures_without_faces_are_read_in_colour(tmp_path: Path) -> None:
    known = script.read_faceless(None)
    assert len(known) == 2 * len(script.FACELESS)
    assert {image.shape[2] for image in known} == {3}
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 9, 3), 7, np.uint8))
    assert len(script.read_faceless(tmp_path)) == len(known) + 1
    (tmp_path / "b.png").write_text("none")
    with pytest.raises(FacetrackError, match="cannot be read as a picture"):
        script.read_faceless(tmp_path)
