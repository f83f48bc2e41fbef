"""What landmark networks share, with a network whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from facetrack.detectors import DetectorOptions, alignment
from facetrack.detectors.crops import SIZE, CropRule, Placement, hog_box, relative_box, second_boxes
from facetrack.detectors.neural import THREAD_BATCH, NeuralDetector
from facetrack.landmarks import schemes
from facetrack.weights import ResolvedWeights

CPU = DetectorOptions(device="cpu", precision="float32")


class Brightness(NeuralDetector):
    """Every one of its 19 points is at the crop's (mean red, mean green)."""

    name = "brightness"
    paper = "none"

    def __init__(self) -> None:
        super().__init__(nn.Identity(), "19", CPU, ResolvedWeights(Path(__file__), None), None)
        self.batches: list[int] = []

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        return box

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        if box[0] < 0:
            return None
        x, y = (int(v) for v in box[:2])
        assert image.ndim == 3
        crop = np.broadcast_to(image[y, x], (SIZE, SIZE, 3))
        return crop, Placement(np.array([2.0, 3.0]), box[:2])

    def prepare(self, crops: np.ndarray) -> torch.Tensor:
        self.batches.append(len(crops))
        return torch.from_numpy(crops).float().mean((1, 2))

    def decode(self, output: Any) -> tuple[np.ndarray, np.ndarray]:
        xy = output[:, None, :2].expand(-1, 19, -1).numpy()
        return xy, np.full(xy.shape[:2], 0.5)


@pytest.fixture
def detector() -> Brightness:
    return Brightness()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)


def test_points_come_back_into_the_image(detector: Brightness, image: np.ndarray) -> None:
    found = detector.detect(image, np.array([[4, 7, 20, 20]]))
    red, green = image[7, 4, :2]
    np.testing.assert_allclose(found.xy[0], [[4 + 2.0 * red, 7 + 3.0 * green]] * 19)
    assert found.xy.dtype == found.score.dtype == np.float32
    np.testing.assert_array_equal(found.score, np.full((1, 19), 0.5))


def test_faces_of_many_images_share_batches(
    detector: Brightness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    random = np.random.default_rng(1)
    images = [random.integers(0, 255, (30, 30 + i, 3)).astype(np.uint8) for i in range(9)]
    corners = [random.integers(0, 20, (count, 2)) for count in (1, 0, 20, 3, 40, 1, 2, 0, 1)]
    boxes = [np.concatenate([c, c + 8], axis=1) for c in corners]
    many = detector.detect_many(images, boxes)
    assert detector.batches == [THREAD_BATCH] * 8 + [4]
    for image, some, found in zip(images, boxes, many, strict=True):
        one_by_one = [detector.detect(image, box[None]).xy[0] for box in some]
        np.testing.assert_array_equal(found.xy, np.reshape(one_by_one, (len(some), 19, 2)))


@pytest.mark.parametrize(("threads", "batch"), [(1, 8), (2, 16), (64, 32)])
def test_batches_grow_with_the_threads(
    detector: Brightness, monkeypatch: pytest.MonkeyPatch, threads: int, batch: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert detector.batch == batch


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, 0, 10, 10),
        (5, 5, 5, 5),
        (9, 9, 5, 5),
        (60, 5, 70, 15),
        (-9, 5, 20, 20),
        (0, 0, np.inf, 9),
    ],
)
def test_impossible_box_is_unknown_and_its_neighbours_are_not(
    detector: Brightness, image: np.ndarray, box: tuple[float, ...]
) -> None:
    good = (3, 3, 12, 12)
    found = detector.detect(image, np.array([good, box, good]))
    assert np.isnan(found.xy[1]).all()
    assert not found.score[1].any()
    np.testing.assert_array_equal(found.xy[0], found.xy[2])
    assert np.isfinite(found.xy[0]).all()


def test_no_boxes_give_empty_arrays(detector: Brightness, image: np.ndarray) -> None:
    found = detector.detect(image, np.empty((0, 4), np.float32))
    assert (found.xy.shape, found.score.shape) == ((0, 19, 2), (0, 19))
    assert not detector.batches


def test_grey_images_are_read_as_grey(detector: Brightness, image: np.ndarray) -> None:
    grey = image[..., 0]
    found = detector.detect(grey, np.array([[4, 7, 20, 20]]))
    np.testing.assert_allclose(found.xy[0, 0], [4 + 2.0 * grey[7, 4], 7 + 3.0 * grey[7, 4]])


def test_describe_says_what_ran(detector: Brightness) -> None:
    message = detector.describe()
    assert message["weights"] == __file__
    assert len(message["sha256"]) == 64
    assert (message["name"], message["scheme"], message["device"]) == ("brightness", "19", "cpu")


TRUE_BOX = np.array([10.0, 12.0, 34.0, 36.0])
LAYOUT = np.random.default_rng(1).random((68, 2)) * 24 + TRUE_BOX[:2]


class HalfWay(NeuralDetector):
    """Its points are off by half of what its box is off from the box that the points imply.

    What it is shown is lit on the left, so it knows when that is mirrored, and answers for it.
    """

    name = "half way"
    paper = "none"

    def __init__(
        self, rule: CropRule | None, shown: np.ndarray = LAYOUT, options: DetectorOptions = CPU
    ) -> None:
        super().__init__(nn.Identity(), "68", options, ResolvedWeights(Path(__file__), None), rule)
        self.shown = shown
        self.boxes: list[np.ndarray] = []
        self.mirrored: list[bool] = []
        self.answers: list[np.ndarray] = []

    def crop_box(self, box: np.ndarray) -> np.ndarray:
        self.boxes.append(box)
        return box

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        off = (box - hog_box(self.shown))[:2]
        corner = (box[:2] + box[2:]) / 2 - (SIZE - 1) / 2
        self.answers.append(self.shown + off / 2 - corner)
        crop = np.zeros((SIZE, SIZE, 3), np.uint8)
        crop[:, : SIZE // 2] = 255
        return crop, Placement(np.ones(2), corner)

    def prepare(self, crops: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(crops[:, 0, 0, 0] == 0)

    def decode(self, output: Any) -> tuple[np.ndarray, np.ndarray]:
        self.mirrored += output.tolist()
        xy = np.stack(self.answers[-len(output) :])
        if output.any():
            xy = schemes.get("68").mirror(xy, SIZE)
        return xy, np.full(xy.shape[:2], 0.25 * len(self.boxes))


RULE = CropRule.around_landmarks(1.5)


def test_second_look_is_mirrored_at_the_box_that_the_first_implies(image: np.ndarray) -> None:
    detector, box = HalfWay(RULE), hog_box(LAYOUT) + 2
    found = detector.detect(image, box[None])
    assert detector.mirrored == [False, True]
    np.testing.assert_allclose(detector.boxes, [box, hog_box(LAYOUT) + 1], atol=1e-5)
    # Off by 1 and by one half of a pixel: the mean of both, and of their scores.
    np.testing.assert_allclose(found.xy[0], LAYOUT + 0.75, atol=1e-5)
    np.testing.assert_allclose(found.score, 0.375)


def test_published_weights_look_once(image: np.ndarray) -> None:
    detector, box = HalfWay(None), hog_box(LAYOUT) + 2
    found = detector.detect(image, box[None])
    assert detector.describe()["looks"] == len(detector.boxes) == 1
    np.testing.assert_allclose(found.xy[0], LAYOUT + 1, atol=1e-5)


class Aligned(HalfWay):
    """Answers the same places in every crop, whose faces are aligned to given landmarks."""

    def __init__(self, rough: np.ndarray) -> None:
        super().__init__(RULE)
        self.aligned = 1.25
        self.rough = rough

    @property
    def _coarse(self) -> Aligned:
        return self

    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        crop = np.zeros((SIZE, SIZE, 3), np.uint8)
        crop[:, : SIZE // 2] = 255
        return crop, Placement(np.ones(2), np.zeros(2))

    def decode(self, output: Any) -> tuple[np.ndarray, np.ndarray]:
        self.mirrored += output.tolist()
        if len(self.mirrored) == len(output):  # the first view is that of the rough landmarks
            xy = self.rough[None]
        else:
            upright = alignment.align(LAYOUT).to_crop(LAYOUT)
            xy = schemes.get("68").mirror(upright, SIZE) if output.any() else upright
            xy = xy[None]
        return xy, np.full(xy.shape[:2], 0.5)


@pytest.mark.parametrize("roll", [0.0, 0.4, -1.0])
def test_crops_follow_from_rough_landmarks(image: np.ndarray, roll: float) -> None:
    """The face in the crop is upright, so a rolled face gets a rolled answer."""
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    middle = LAYOUT.mean(0)
    rolled = (LAYOUT - middle) @ turn.T * 1.2 + middle
    detector = Aligned(rolled)
    found = detector.detect(image, hog_box(rolled)[None])
    assert detector.mirrored == [False, False, True]
    np.testing.assert_allclose(found.xy[0], rolled, atol=0.02)


def test_implausible_rough_landmarks_leave_the_given_box(image: np.ndarray) -> None:
    box = hog_box(LAYOUT)
    found = Aligned(LAYOUT + 500).detect(image, box[None])
    assert np.abs(hog_box(found.xy[0].astype(float)) - box).max() < 12


@pytest.mark.parametrize(
    ("asked", "rule", "precision"),
    [
        ("auto", RULE, "bfloat16"),
        ("auto", None, "float32"),
        ("float32", RULE, "float32"),
        ("bfloat16", None, "bfloat16"),
    ],
)
def test_only_weights_trained_here_are_rounded_unasked(
    monkeypatch: pytest.MonkeyPatch, asked: str, rule: CropRule | None, precision: str
) -> None:
    monkeypatch.setattr("facetrack.runtime.device.multiplies_bfloat16", lambda: True)
    options = DetectorOptions(device="cpu", precision=asked)
    assert HalfWay(rule, options=options).describe()["precision"] == precision


class Parts(NamedTuple):
    one: torch.Tensor
    other: torch.Tensor


class Forked(nn.Module):
    """Answers as one of the three kinds that networks have."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.layer = kind, nn.Linear(3, 2)

    def forward(self, batch: torch.Tensor) -> Any:
        y = self.layer(batch)
        return {"tensor": y, "list": [y, -y], "named": Parts(y, -y)}[self.kind]


@pytest.mark.parametrize("kind", ["tensor", "list", "named"])
def test_rounded_answers_are_float32_again(detector: Brightness, kind: str) -> None:
    network = Forked(kind)
    detector.network, detector.precision = network, torch.bfloat16
    batch = torch.randn(4, 3)
    with torch.inference_mode():
        message, exact = detector.infer(batch), network.layer(batch)
    assert type(message) is type(network(batch))
    one = message if kind == "tensor" else message[0]
    assert one.dtype == torch.float32
    torch.testing.assert_close(one, exact, rtol=0.02, atol=0.02)
    assert not torch.equal(one, exact)  # it was rounded


def test_landmarks_that_leave_the_box_are_not_looked_at_again(image: np.ndarray) -> None:
    elsewhere = HalfWay(RULE, LAYOUT + 60)
    found = elsewhere.detect(image, np.stack([TRUE_BOX, TRUE_BOX]))
    assert len(elsewhere.boxes) == 2
    assert np.isfinite(found.xy).all()
    assert (found.score == 0.5).all()


@pytest.mark.parametrize(
    ("moved", "scaled", "same"),
    [(0.0, 1.0, True), (0.3, 1.0, True), (0.7, 1.0, False), (0.0, 0.5, False), (0.0, 1.5, True)],
)
def test_second_box_must_overlap_the_first(moved: float, scaled: float, same: bool) -> None:
    implied = hog_box(LAYOUT)
    rule = np.array([0, 0, 1, 1]) * scaled + np.array([moved, 0, moved, 0])
    box = relative_box(implied, rule)
    got = second_boxes(LAYOUT[None], box[None])[0]
    np.testing.assert_allclose(got, implied if same else np.full(4, np.nan))
