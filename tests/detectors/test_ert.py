"""ERT: dlib's landmarks, finer; on a public-domain photograph and on annotated faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from skimage.data import astronaut

from facetrack.detectors import DetectorOptions, ert
from facetrack.errors import FacetrackError
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.landmarks import schemes
from facetrack.weights import dlib_models

BOX = np.array([[179, 83, 266, 170]], np.float32)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()


@pytest.fixture(scope="module")
def detector() -> ert.Ert:
    return ert.Ert()


def whole_pixels(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(68, 2) landmarks as dlib itself gives them, on the image itself."""
    shape = ert._predictor()(image, dlib.rectangle(*(int(v) for v in box)))
    return np.array([(p.x, p.y) for p in shape.parts()], float)


def test_landmarks_are_dlibs_but_for_the_rounding(photo: np.ndarray, detector: ert.Ert) -> None:
    xy = detector.detect(photo, BOX).xy[0]
    # Half a pixel of dlib's rounding and half a step of ours.
    step = 88 / ert.MIN_BOX_PX
    assert np.abs(xy - whole_pixels(photo, BOX[0])).max() <= 0.5 + step
    assert np.abs(xy - np.round(xy)).max() > 0.3


@pytest.mark.parametrize("frame", [(200, 190), (120, 90)], ids=["tight", "cut"])
def test_rounding_bound_holds_where_the_frame_ends(
    photo: np.ndarray, detector: ert.Ert, frame: tuple[int, int]
) -> None:
    height, width = frame
    image = np.ascontiguousarray(photo[70 : 70 + height, 170 : 170 + width])
    box = BOX - (170, 70, 170, 70)
    xy = detector.detect(image, box).xy[0]
    assert np.abs(xy - whole_pixels(image, box[0])).max() <= 0.5 + 88 / ert.MIN_BOX_PX


def test_points_move_with_the_picture(photo: np.ndarray, detector: ert.Ert) -> None:
    at_home = detector.detect(photo, BOX).xy
    moved = np.zeros((700, 800, 3), np.uint8)
    moved[101 : 101 + 512, 57 : 57 + 512] = photo
    away = detector.detect(moved, BOX + np.array([57, 101, 57, 101])).xy
    np.testing.assert_allclose(away, at_home + np.array([57, 101]), atol=1e-3)


def test_part_of_a_pixel_of_the_box_is_not_lost(photo: np.ndarray, detector: ert.Ert) -> None:
    # In a plain picture every comparison is a draw: the shape depends on the box alone.
    plain = np.full_like(photo, 128)
    xy = detector.detect(plain, BOX).xy
    moved = detector.detect(plain, BOX + 0.4).xy
    np.testing.assert_allclose(moved - xy, 0.4, atol=1.5 * 88 / ert.MIN_BOX_PX)


def test_no_boxes_give_empty_arrays(photo: np.ndarray, detector: ert.Ert) -> None:
    found = detector.detect(photo, np.empty((0, 4), np.float32))
    assert (found.xy.shape, found.score.shape) == ((0, 68, 2), (0, 68))
    assert found.xy.dtype == found.score.dtype == np.float32


def test_several_boxes_are_answered_in_their_order(photo: np.ndarray, detector: ert.Ert) -> None:
    other = np.array([[100, 300, 200, 400]], np.float32)
    both = detector.detect(photo, np.concatenate([other, BOX]))
    np.testing.assert_array_equal(both.xy[1], detector.detect(photo, BOX).xy[0])
    np.testing.assert_array_equal(both.xy[0], detector.detect(photo, other).xy[0])


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, 0, 10, 10),
        (0, 0, np.inf, 10),
        (50, 50, 50, 50),
        (60, 60, 50, 50),
        (-90, 10, -1, 99),
        (600, 600, 700, 700),
    ],
)
def test_impossible_box_is_unknown(
    photo: np.ndarray, detector: ert.Ert, box: tuple[float, ...]
) -> None:
    found = detector.detect(photo, np.array([box]))
    assert np.isnan(found.xy).all()
    assert not found.score.any()


@pytest.mark.parametrize(
    "box",
    [(-40, -40, 50, 50), (480, 480, 560, 560), (-5000, -5000, 6000, 6000), (10, 10, 11, 11)],
    ids=["corner", "far corner", "larger than the frame", "two pixels"],
)
def test_box_half_outside_is_answered(
    photo: np.ndarray, detector: ert.Ert, box: tuple[float, ...]
) -> None:
    found = detector.detect(photo, np.array([box]))
    assert np.isfinite(found.xy).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_one_pixel_image_does_not_crash(detector: ert.Ert) -> None:
    found = detector.detect(np.zeros((1, 1, 3), np.uint8), np.array([[-20, -20, 20, 20]]))
    assert found.xy.shape == (1, 68, 2)


def test_grey_and_views_are_read_as_they_look(photo: np.ndarray, detector: ert.Ert) -> None:
    grey = (photo.astype(int).sum(2) // 3).astype(np.uint8)
    expected = detector.detect(photo, BOX).xy
    np.testing.assert_array_equal(detector.detect(grey, BOX).xy, expected)
    view = photo[:, ::-1].copy()[:, ::-1]
    np.testing.assert_array_equal(detector.detect(view, BOX).xy, expected)


def test_score_is_higher_on_a_face_than_beside_it(photo: np.ndarray, detector: ert.Ert) -> None:
    beside = BOX + np.array([120, 40, 120, 40])  # flag and sleeve
    found = detector.detect(photo, np.concatenate([BOX, beside]))
    assert found.score[0].mean() > found.score[1].mean() + 0.1


def test_damaged_model_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.dat"
    broken.write_bytes(b"not trees")
    monkeypatch.setattr(ert, "model_file", lambda name: dlib_models.ModelFile(name, broken, "none"))
    with pytest.raises(FacetrackError, match=r"cannot read .*broken\.dat.*pip install"):
        ert._predictor.__wrapped__()


def test_describe_names_weights_licence_and_paper(detector: ert.Ert) -> None:
    message = detector.describe()
    assert message["weights"] == "shape_predictor_68_face_landmarks.dat"
    assert "research" in message["licence"]
    assert "CVPR 2014" in message["paper"]


def test_own_shape_predictor_is_used(photo: np.ndarray, tmp_path: Path) -> None:
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.num_trees_per_cascade_level, options.tree_depth = 2, 2, 2
    options.num_threads = 1
    where = dlib.rectangle(*BOX[0].astype(int).tolist())
    shapes = [
        dlib.full_object_detection(where, [dlib.point(190 + i, 100 + 3 * i) for i in range(19)])
    ] * 2
    trained = dlib.train_shape_predictor([photo] * 2, [[s] for s in shapes], options)
    path = tmp_path / "own.dat"
    trained.save(str(path))

    detector = ert.Ert(DetectorOptions(weights=str(path)))
    assert detector.scheme == "19"
    assert not detector._uses_second_view  # who trained it did not count on that
    found = detector.detect(photo, BOX)
    truth = [(190 + i, 100 + 3 * i) for i in range(19)]
    np.testing.assert_allclose(found.xy[0], truth, atol=0.5)
    assert detector.describe()["weights"] == str(path)


def test_what_is_no_shape_predictor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    path.write_bytes(b"not trees")
    with pytest.raises(FacetrackError, match=r"other\.dat is not a shape predictor of dlib"):
        ert.Ert(DetectorOptions(weights=str(path)))


def test_many_images_are_answered_in_their_order(photo: np.ndarray, detector: ert.Ert) -> None:
    other = np.ascontiguousarray(photo[:, ::-1])
    boxes = [BOX, np.empty((0, 4)), BOX]
    found = detector.detect_many([photo, photo, other], boxes)
    assert [len(f.xy) for f in found] == [1, 0, 1]
    np.testing.assert_array_equal(found[0].xy, detector.detect(photo, BOX).xy)
    np.testing.assert_array_equal(found[2].xy, detector.detect(other, BOX).xy)


@pytest.fixture(scope="module")
def annotated(shared_data: Path, detector: ert.Ert) -> tuple[np.ndarray, np.ndarray]:
    """(M, 68) errors in % of the inter-ocular distance and scores, of forty annotated faces."""
    folder = shared_data / "faces68_train"
    data = np.load(folder / "landmarks68.npz")
    hog, errors, scores = DlibHog(), [], []
    for i in range(0, len(data["names"]), len(data["names"]) // 40):
        truth = data["points"][i]
        image = cv2.cvtColor(cv2.imread(str(folder / str(data["names"][i]))), cv2.COLOR_BGR2RGB)
        boxes = hog.detect(image).boxes
        middle = truth.mean(0)
        boxes = boxes[(boxes[:, :2] < middle).all(1) & (middle < boxes[:, 2:]).all(1)][:1]
        found = detector.detect(image, boxes)
        for xy, score in zip(found.xy, found.score, strict=True):
            eyes = np.linalg.norm(truth[36] - truth[45])
            errors.append(100 * np.linalg.norm(xy - truth, axis=-1) / eyes)
            scores.append(score)
    return np.array(errors), np.array(scores)


def test_annotated_faces_are_found_and_placed(annotated: tuple[np.ndarray, np.ndarray]) -> None:
    errors, _ = annotated
    assert len(errors) >= 36
    assert np.median(errors.mean(1)) < 3.5


def test_score_is_the_share_of_points_in_place(annotated: tuple[np.ndarray, np.ndarray]) -> None:
    errors, scores = annotated
    for low, high in ((0.6, 0.85), (0.85, 0.95), (0.95, 1.0)):
        some = (scores >= low) & (scores < high)
        assert (errors[some] < 5).mean() == pytest.approx(scores[some].mean(), abs=0.1)


def test_weights_trained_here_look_again_in_the_box_of_their_landmarks(photo: np.ndarray) -> None:
    """Boxes a little off give nearer landmarks at two looks than at one."""
    own = ert.Ert(DetectorOptions(weights="ert-s"))
    shifted = [BOX + np.tile(by, 2) for by in ((8, 6), (-6, 5), (10, 0), (-8, -8))]

    def apart() -> float:
        home = own.detect(photo, BOX).xy
        return float(np.mean([np.abs(home - own.detect(photo, box).xy).mean() for box in shifted]))

    twice = apart()
    own._uses_second_view = False
    assert twice < 0.8 * apart()


def test_a_second_box_that_is_another_face_s_is_not_looked_at(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ert.Ert(DetectorOptions(weights="ert-s"))
    monkeypatch.setattr(
        "facetrack.detectors.crops.second_boxes", lambda points, boxes: np.full((1, 4), np.nan)
    )
    twice = own.detect(photo, BOX).xy
    own._uses_second_view = False
    np.testing.assert_array_equal(twice, own.detect(photo, BOX).xy)


def test_a_mirrored_picture_gets_mirrored_landmarks(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ert.Ert(DetectorOptions(weights="ert-s"))
    again = BOX[0].astype(float) + (2, -1, 2, -1)
    width = photo.shape[1]
    flipped = np.array([width - 1 - again[2], again[1], width - 1 - again[0], again[3]])
    answers = []
    for picture, box in ((photo, again), (np.ascontiguousarray(photo[:, ::-1]), flipped)):
        monkeypatch.setattr(
            "facetrack.detectors.crops.second_boxes", lambda points, boxes, box=box: box[None]
        )
        answers.append(own.detect(picture, box[None]))
    straight, mirrored = answers
    swap = list(schemes.get("68").swap)
    back = mirrored.xy[0][swap] * (-1, 1) + (width - 1, 0)
    np.testing.assert_allclose(back, straight.xy[0], atol=2 * 88 / ert.MIN_BOX_PX)
    np.testing.assert_allclose(mirrored.score[0][swap], straight.score[0], atol=0.05)
