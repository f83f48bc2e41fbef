"""MTCNN: its networks against those of the package mtcnn, its weights, and the cascade."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from facetrack.errors import FacetrackError
from facetrack.face_detectors import mtcnn, mtcnn_network
from facetrack.weights import resolve

# Eyes, nose and mouth corners of the photograph, by eye, in pixels.
FIVE = np.array([(203, 101), (247, 103), (224, 128), (201, 139), (246, 141)])


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut()


@pytest.fixture(scope="module")
def detector() -> mtcnn.Mtcnn:
    return mtcnn.Mtcnn()


def test_networks_compute_what_the_package_computes(detector: mtcnn.Mtcnn) -> None:
    # What the networks of mtcnn 1.0.0 (TensorFlow 2.21) give for these random pictures.
    random = np.random.default_rng(0)
    shapes = ((1, 53, 71, 3), (5, 24, 24, 3), (5, 48, 48, 3))
    pictures = [(random.random(shape) * 2 - 1).astype(np.float32) for shape in shapes]
    p, r, o = (
        network(torch.from_numpy(picture).permute(0, 3, 1, 2))
        for network, picture in zip(detector._networks, pictures, strict=True)
    )
    assert p[0].shape == (1, 4, 22, 31)
    expected = [
        (p[0][0, :, 10, 20], [0.264738, 0.118237, -0.083865, -0.003470]),
        (p[0][0, :, 21, 30], [0.079855, 0.025904, -0.278075, -0.073035]),
        (p[1][0, :, 10, 20], [0.998976, 0.001024]),
        (p[1][0, 1].mean(), 0.012983559),
        (r[0][0], [0.101325, 0.006773, -0.070348, 0.151354]),
        (r[1][0], [0.983652, 0.016348]),
        (o[0][0], [0.054217, 0.002410, -0.119761, 0.044874]),
        (o[1][0, :5], [0.227838, 0.637260, 0.389426, 0.246970, 0.576949]),
        (o[1][0, 5:], [0.301933, 0.285484, 0.517768, 0.834282, 0.841551]),
        (o[2][0], [0.977902, 0.022098]),
    ]
    for value, wanted in expected:
        np.testing.assert_allclose(value.numpy(), wanted, atol=3e-6)


def test_finds_the_face_and_its_five_landmarks(photo: np.ndarray, detector: mtcnn.Mtcnn) -> None:
    found = detector.detect_raw(photo)
    best = int(np.argmax(found.score))
    assert found.score[best] > 0.99
    assert np.abs(found.points[best] - FIVE).max() < 5


@pytest.mark.parametrize("size", [0.25, 0.6, 3], ids=["26 px", "61 px", "306 px"])
def test_box_and_landmarks_scale_with_the_picture(
    photo: np.ndarray, detector: mtcnn.Mtcnn, size: float
) -> None:
    how = cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(photo, None, fx=size, fy=size, interpolation=how)
    box = detector.detect(resized).boxes[0]
    expected = (detector.detect(photo).boxes[0] + 0.5) * size - 0.5
    np.testing.assert_allclose(box, expected, atol=0.08 * (expected[2] - expected[0]))


def test_detect_gives_the_rule_s_box(photo: np.ndarray, detector: mtcnn.Mtcnn) -> None:
    raw, found = detector.detect_raw(photo), detector.detect(photo)
    points = raw.points[np.argmax(raw.score)]
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    box = found.boxes[0]
    np.testing.assert_allclose(
        (box[:2] + box[2:]) / 2, eyes + mtcnn.DOWN * (mouth - eyes), atol=1e-4
    )


def test_grey_is_like_colour(photo: np.ndarray, detector: mtcnn.Mtcnn) -> None:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert np.abs(detector.detect(grey).boxes[0] - detector.detect(photo).boxes[0]).max() < 8


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "brick"])
def test_no_face_where_there_is_none(detector: mtcnn.Mtcnn, name: str) -> None:
    found = detector.detect(getattr(data, name)())
    assert (found.boxes.shape, found.score.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (11, 3000), (60, 50)])
def test_odd_images_have_no_face(detector: mtcnn.Mtcnn, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector.detect(noise).boxes.shape == (0, 4)


@pytest.mark.parametrize("shape", [(2160, 3840), (1080, 1920), (300, 20000), (480, 640)])
def test_proposal_network_sees_a_bounded_number_of_pixels(shape: tuple[int, int]) -> None:
    scales = mtcnn.pyramid(*shape)
    pixels = [scale**2 * shape[0] * shape[1] for scale in scales]
    assert sum(pixels) < 2.02 * mtcnn.MAX_LEVEL_PIXELS  # 1 / (1 - PYRAMID_STEP ** 2)
    assert scales[0] <= mtcnn.CELL_PX / mtcnn.MIN_FACE_PX
    assert scales[-1] * min(shape) >= mtcnn.CELL_PX - 0.5


def test_a_small_picture_s_pyramid_begins_with_the_smallest_face() -> None:
    assert mtcnn.pyramid(120, 160)[0] == pytest.approx(0.6)
    assert mtcnn.pyramid(12, 12) == []


def test_proposals_to_the_next_network_are_bounded(
    detector: mtcnn.Mtcnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mtcnn, "MIN_SCORES", (0.0, 1.0, 1.0))  # everything is proposed
    assert 0 < len(detector._propose(data.coffee())) <= mtcnn.MAX_CANDIDATES[1]


class Scripted:
    """A network that answers what it was told to, and nothing when asked again."""

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs = [torch.from_numpy(np.asarray(v, np.float32)) for v in outputs]

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs, self.outputs = self.outputs, [torch.zeros_like(v) for v in self.outputs]
        return outputs


def test_a_cell_is_where_the_level_shows_it() -> None:
    # One hit, in the first level, whose sides are 0.6 of the picture's: at row 3, column 5, cells
    # of 12 pixels two apart; its right edge is said to be a quarter of a cell further.
    chance, offsets = np.zeros((1, 2, 20, 30)), np.zeros((1, 4, 20, 30))
    chance[0, 1, 3, 5], offsets[0, 2, 3, 5] = 0.9, 0.25
    made, proposal = mtcnn.Mtcnn(), Scripted(offsets, chance)
    made.__dict__["_networks"] = mtcnn_network.Networks(proposal, None, None)
    (box,) = made._propose(np.zeros((100, 150, 3), np.uint8))
    # x 10 to 25, y 6 to 18, grown to a square of 15 about its centre.
    np.testing.assert_allclose(box, np.array([10, 4.5, 25, 19.5]) / 0.6, rtol=1e-5)


def test_landmarks_stay_with_their_box(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.array([[10, 10, 50, 50], [100, 20, 180, 100]], float)
    monkeypatch.setattr(mtcnn.Mtcnn, "_propose", lambda self, image: boxes)
    nothing, flat = np.zeros((2, 4)), np.tile([0.1, 0.9, 0.5, 0.2, 0.8, 0.3, 0.3, 0.6, 0.7, 0.7], 2)
    refinement = Scripted(nothing, [[0.05, 0.95], [0.1, 0.9]])
    output = Scripted(nothing, flat.reshape(2, 10), [[0.9, 0.1], [0.01, 0.99]])
    made = mtcnn.Mtcnn()
    made.__dict__["_networks"] = mtcnn_network.Networks(None, refinement, output)
    found = made.detect_raw(np.zeros((200, 200, 3), np.uint8))
    np.testing.assert_allclose(found.boxes, boxes[1:] - 0.5, rtol=1e-6)
    expected = [(108, 44), (172, 44), (140, 68), (116, 76), (164, 76)]
    np.testing.assert_allclose(found.points[0], np.array(expected) - 0.5, rtol=1e-5)


def test_a_patch_shows_its_box() -> None:
    # Horizontal position as brightness: a patch of columns 20 to 68 must run from 20.5 to 67.5.
    ramp = np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (100, 1, 3))
    (patch,) = mtcnn.patches(ramp, np.array([[20.0, 30.0, 68.0, 78.0]]), 24)
    np.testing.assert_allclose(patch[5, :, 0], 20.5 + 2 * np.arange(24), atol=1)


def test_a_patch_is_grey_outside_the_picture() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    (patch,) = mtcnn.patches(white, np.array([[-24.0, 0.0, 24.0, 48.0]]), 24)
    assert (patch[:, :11] == 128).all()
    assert (patch[:, 13:] == 255).all()


def test_a_large_patch_is_averaged() -> None:
    # Black and white noise: the mean of 8 x 8 pixels has a deviation of 16, that of 2 x 2 of 64.
    noise = np.random.default_rng(0).integers(0, 2, (192, 192, 1)) * np.uint8(255)
    image = np.repeat(noise, 3, axis=2).astype(np.uint8)
    (patch,) = mtcnn.patches(image, np.array([[0.0, 0.0, 192.0, 192.0]]), 24)
    assert patch.std() < 25


def test_networks_are_given_colours_about_zero() -> None:
    seen = []
    mtcnn._run(lambda x: seen.append(x) or (), np.array([0, 127, 255], np.uint8)[None, None])
    assert seen[0].flatten().tolist() == [-127.5 / 128, -0.5 / 128, 127.5 / 128]


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    whole = resolve("mtcnn").path.read_bytes()
    (tmp_path / "short.safetensors").write_bytes(whole[:5000])
    with pytest.raises(FacetrackError, match="not a file of network weights"):
        mtcnn_network.load(tmp_path / "short.safetensors")


def test_another_network_s_weights_are_refused() -> None:
    with pytest.raises(FacetrackError, match="is not MTCNN's three networks: it lacks"):
        mtcnn_network.load(resolve("shape").path)


def test_describe_names_weights_and_licence(detector: mtcnn.Mtcnn) -> None:
    described = detector.describe()
    assert (described["name"], described["weights"]) == ("mtcnn", "mtcnn")
    assert len(described["sha256"]) == 64
    assert "MIT" in described["licence"]
