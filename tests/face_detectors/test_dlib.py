"""dlib's two face detectors, and the choice called "auto", on a public-domain photograph."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from facetrack.face_detectors import auto, dlib_cnn, dlib_hog
from facetrack.face_detectors.base import FaceBoxes, FaceDetector
from facetrack.ops.image import as_rgb

# Eyes, nose and chin of the photograph, by eye, in pixels: inside any face box.
INSIDE = np.array([(205, 106), (240, 106), (224, 125), (225, 155)])


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()


@pytest.fixture(scope="module")
def hog() -> dlib_hog.DlibHog:
    return dlib_hog.DlibHog()


@pytest.fixture(scope="module")
def cnn() -> dlib_cnn.DlibCnn:
    return dlib_cnn.DlibCnn()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    inside = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(inside / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inside))


def test_hog_finds_the_face(photo: np.ndarray, hog: dlib_hog.DlibHog) -> None:
    found = hog.detect(photo)
    assert len(found.boxes) == 1
    assert (found.boxes[0, :2] < INSIDE).all()
    assert (found.boxes[0, 2:] > INSIDE).all()


def test_hog_box_is_dlibs_own_on_a_small_frame(photo: np.ndarray, hog: dlib_hog.DlibHog) -> None:
    import dlib

    (own,) = dlib.get_frontal_face_detector()(photo, 0)
    box = hog.detect(photo).boxes[0]
    assert box.tolist() == [own.left(), own.top(), own.right(), own.bottom()]


def test_hog_doubles_the_frame_when_it_finds_nothing(
    photo: np.ndarray, hog: dlib_hog.DlibHog
) -> None:
    small = cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    found = hog.detect(small)  # the face is 53 pixels wide, the filters 80
    expected = (hog.detect(photo).boxes + 0.5) * 0.6 - 0.5
    assert overlap(found.boxes[0], expected[0]) > 0.7


def test_hog_finds_a_tiny_face_in_a_small_frame(photo: np.ndarray, hog: dlib_hog.DlibHog) -> None:
    small = cv2.resize(photo, None, fx=0.33, fy=0.33, interpolation=cv2.INTER_AREA)
    found = hog.detect(small)  # the face is 29 pixels wide
    assert len(found.boxes) == 1
    expected = (hog.detect(photo).boxes + 0.5) * 0.33 - 0.5
    assert overlap(found.boxes[0], expected[0]) > 0.6


def test_hog_work_is_bounded_on_a_large_frame(
    photo: np.ndarray, hog: dlib_hog.DlibHog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    run = hog._model.run

    class Spy:
        def run(self, image: np.ndarray, *rest: float) -> tuple:
            seen.append(max(image.shape))
            return run(image, *rest)

    monkeypatch.setitem(hog.__dict__, "_model", Spy())
    large = np.full((2160, 3840, 3), 90, np.uint8)
    assert not len(hog.detect(large).boxes)
    assert seen == [dlib_hog.MAX_SIDE_PX, 2 * dlib_hog.MAX_SIDE_PX]


def test_hog_box_of_a_large_frame_is_in_its_pixels(
    photo: np.ndarray, hog: dlib_hog.DlibHog
) -> None:
    large = np.zeros((1536, 3840, 3), np.uint8)
    large[:, 1000:2536] = cv2.resize(photo, (1536, 1536))  # three times the size
    expected = (hog.detect(photo).boxes + 0.5) * 3 - 0.5 + (1000, 0, 1000, 0)
    assert overlap(hog.detect(large).boxes[0], expected[0]) > 0.8


def test_cnn_finds_the_face_where_hog_does(
    photo: np.ndarray, hog: dlib_hog.DlibHog, cnn: dlib_cnn.DlibCnn
) -> None:
    # benchmarks/calibration/face_boxes.py compares the style over many faces; this test only checks
    # place and size.
    crop, origin = photo[40:210, 130:320], np.array([130, 40, 130, 40])
    assert overlap(cnn.detect(crop).boxes[0] + origin, hog.detect(photo).boxes[0]) > 0.6


@pytest.mark.parametrize("shape", [(2160, 3840), (300, 20000), (144, 176)])
def test_cnn_sees_a_bounded_number_of_pixels(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cnn, seen = dlib_cnn.DlibCnn(), []

    def spy(image: np.ndarray, upsample: int) -> list:
        seen.append(image.shape)
        return []

    monkeypatch.setitem(cnn.__dict__, "_model", spy)
    cnn.detect(np.zeros((*shape, 3), np.uint8))
    assert seen[0][0] * seen[0][1] <= dlib_cnn.IMAGE_PIXELS * 1.01
    assert seen[0][0] <= 2 * shape[0]


def odd_images() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    return {
        "one pixel": noise[:1, :1],
        "one row": noise[:1],
        "one column": noise[:, :1],
        "grey": noise[..., 0],
        "mirrored view": noise[:, ::-1],
        "channels swapped view": noise[..., ::-1],
        "strided view": noise[::2, ::3],
        "wide strip": np.zeros((2, 3000, 3), np.uint8),
    }


@pytest.mark.parametrize("detector", [dlib_hog.DlibHog(), dlib_cnn.DlibCnn()], ids=lambda d: d.name)
@pytest.mark.parametrize("image", odd_images().values(), ids=odd_images().keys())
def test_odd_images_have_no_face(detector: FaceDetector, image: np.ndarray) -> None:
    found = detector.detect(image)
    assert (found.boxes.shape, found.score.shape) == ((0, 4), (0,))


def test_a_view_gives_what_its_copy_gives(photo: np.ndarray, hog: dlib_hog.DlibHog) -> None:
    mirrored = photo[:, ::-1]
    assert len(hog.detect(mirrored).boxes) == 1
    np.testing.assert_array_equal(hog.detect(mirrored).boxes, hog.detect(mirrored.copy()).boxes)


def test_grey_photo_has_the_face_too(photo: np.ndarray, hog: dlib_hog.DlibHog) -> None:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert overlap(hog.detect(grey).boxes[0], hog.detect(as_rgb(photo)).boxes[0]) > 0.8


class Scripted:
    """A detector that answers what it was told to and counts how often it is asked."""

    name = "scripted"

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.found = FaceBoxes(
            np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32)
        )
        self.asked = 0

    def detect(self, image: np.ndarray) -> FaceBoxes:
        self.asked += 1
        return self.found

    def describe(self) -> dict:
        return {"name": self.name}


@pytest.mark.parametrize(("first", "asked"), [(Scripted((0, 0, 5, 5)), 0), (Scripted(), 1)])
def test_auto_asks_the_slow_detector_only_when_it_must(first: Scripted, asked: int) -> None:
    both, second = auto.Auto(), Scripted((1, 1, 9, 9))
    both._detectors = (first, second)
    found = both.detect(np.zeros((9, 9, 3), np.uint8))
    assert second.asked == asked
    np.testing.assert_array_equal(found.boxes, (second if asked else first).found.boxes)


def test_describe_names_weights_and_licence() -> None:
    quick, cnn = auto.Auto().describe()["detectors"]
    assert (quick["name"], cnn["name"]) == (auto.quick().name, "cnn")
    assert cnn["weights"] == "mmod_human_face_detector.dat"
    assert len(cnn["sha256"]) == 64


def test_auto_begins_with_mtcnn() -> None:
    assert auto.quick().name == "mtcnn"
