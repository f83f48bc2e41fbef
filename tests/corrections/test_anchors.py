"""The landmarks of a corrected frame, from what is at hand there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from facetrack.corrections.anchors import AnchorPlacer
from facetrack.corrections.resolve import FrameEdit, Placement
from facetrack.detectors import Landmarks
from facetrack.identity.shape_model import ShapeModel
from facetrack.video.frame import Frame

MODEL = ShapeModel.load()
IMAGE = np.zeros((240, 320, 3), np.uint8)
FRAME = Frame(12, 0.5, IMAGE)
MOUTH = np.arange(48, 68)


def face(seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    along = random.normal(size=len(MODEL.variances)) * np.sqrt(MODEL.variances)
    return 90 * (MODEL.mean + np.tensordot(along, MODEL.modes, 1)) + (160, 120)


class Network:
    """A landmark network that finds a face wherever it is asked for one."""

    name, scheme = "network", "68"

    def __init__(self, xy: np.ndarray) -> None:
        self.xy, self.boxes = xy, []

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        self.boxes.append(boxes)
        return Landmarks(self.xy[None].astype(np.float32), np.ones((1, len(self.xy)), np.float32))


class Visible(NamedTuple):
    visible: np.ndarray


class Confidence:
    """Sees the landmarks to which it gives a probability."""

    def __init__(self, probability: np.ndarray) -> None:
        self.probability = probability

    def estimate(self, image: np.ndarray, xy: np.ndarray) -> Visible:
        return Visible(self.probability[None])


def place(placer, tracked, points, visible=None, scheme="68", **edit):
    visible = np.ones(len(tracked), bool) if visible is None else visible
    made = FrameEdit({p: (float(x), float(y)) for p, (x, y) in points.items()}, **edit)
    return placer.place(FRAME, 3, tracked, visible, made, scheme)


def at(truth: np.ndarray, *points: int) -> dict[int, np.ndarray]:
    return {point: truth[point] for point in points}


def error(xy: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(xy - truth, axis=-1).mean())


# ---------------------------------------------------------------- places


def test_an_anchor_says_where_it_is_and_what_was_put_by_hand() -> None:
    truth = face()
    anchor = place(AnchorPlacer(), truth, at(truth, 8, 30))
    assert (anchor.row, anchor.frame, anchor.is_start) == (3, 12, False)
    assert np.flatnonzero(anchor.by_hand).tolist() == [8, 30]
    np.testing.assert_allclose(anchor.xy, truth, atol=1e-4)
    assert anchor.covariance.shape == (136, 136)


def test_without_models_only_the_corrected_points_move() -> None:
    truth, tracked = face(), face() + 7
    anchor = place(AnchorPlacer(), tracked, at(truth, 8, 30))
    np.testing.assert_allclose(anchor.xy[[8, 30]], truth[[8, 30]], atol=1e-4)
    rest = np.delete(np.arange(68), [8, 30])
    np.testing.assert_allclose(anchor.xy[rest], tracked[rest], atol=1e-4)


def test_shapes_and_a_network_bring_the_others_along() -> None:
    truth = face()
    tracked = truth + np.random.default_rng(0).normal(0, 9, truth.shape)
    points = at(truth, 8, 36, 45)
    shapes = place(AnchorPlacer(get_shapes=lambda: MODEL), tracked, points)
    network = Network(truth + 1)
    both = place(AnchorPlacer(lambda: network, lambda: MODEL), tracked, points)
    assert error(both.xy, truth) < error(shapes.xy, truth) < error(tracked, truth)
    (box,) = network.boxes
    assert box.shape == (1, 4)
    np.testing.assert_allclose((box[0, :2] + box[0, 2:]) / 2, truth.mean(0), atol=25)


@pytest.mark.parametrize("far", [(60.0, 0.0), (np.nan, np.nan)])
def test_a_network_that_finds_another_face_or_none_is_not_believed(far) -> None:
    truth, points = face(), at(face(), 8, 36, 45)
    alone = place(AnchorPlacer(get_shapes=lambda: MODEL), truth, points)
    other = place(AnchorPlacer(lambda: Network(truth + far), lambda: MODEL), truth, points)
    np.testing.assert_array_equal(other.xy, alone.xy)


def test_a_network_of_another_layout_is_not_asked() -> None:
    network = Network(np.zeros((68, 2)))
    tracked = np.random.default_rng(0).uniform(0, 200, (5, 2))
    anchor = place(AnchorPlacer(lambda: network), tracked, {2: (9, 9)}, scheme="points-5")
    assert network.boxes == []
    np.testing.assert_allclose(anchor.xy[2], (9, 9))


@pytest.mark.parametrize("missing", [MOUTH, np.arange(68)])
def test_landmarks_that_are_not_tracked_are_placed_by_the_others(missing: np.ndarray) -> None:
    truth = face()
    tracked = truth.copy()
    tracked[missing] = np.nan
    placer = AnchorPlacer(lambda: Network(truth), lambda: MODEL)
    anchor = place(placer, tracked, at(truth, 36, 45, 8))
    assert error(anchor.xy, truth) < 2
    without = place(AnchorPlacer(get_shapes=lambda: MODEL), tracked, at(truth, 36, 45, 8))
    assert np.isfinite(without.xy).all()
    assert error(without.xy, truth) < 15


def test_tracked_landmarks_place_the_missing_ones_with_one_correction() -> None:
    truth = face()
    tracked = truth.copy()
    tracked[MOUTH] = np.nan
    anchor = place(AnchorPlacer(get_shapes=lambda: MODEL), tracked, at(truth, 36))
    assert error(anchor.xy[MOUTH], truth[MOUTH]) < 8
    assert error(anchor.xy, truth) < 3


def test_tracks_before_a_new_start_are_not_believed() -> None:
    truth, points = face(), at(face(), 8, 36, 45)
    placer = AnchorPlacer(lambda: Network(truth), lambda: MODEL)
    wrong = truth + np.random.default_rng(1).normal(0, 6, truth.shape)
    start = place(placer, wrong, points, is_start=True)
    assert start.is_start
    assert error(start.xy, truth) < error(place(placer, wrong, points).xy, truth)


def test_what_a_detector_placed_stays_but_for_what_is_corrected() -> None:
    truth = face()
    placement = Placement(3, 0, truth.astype(np.float32) + 4, np.arange(68) < 48)
    anchor = place(AnchorPlacer(), np.full((68, 2), np.nan), {}, placement=placement, is_start=True)
    np.testing.assert_allclose(anchor.xy, truth + 4, atol=1e-4)
    np.testing.assert_array_equal(anchor.visible, np.arange(68) < 48)
    assert not anchor.by_hand.any()
    corrected = place(AnchorPlacer(), truth, at(truth, 60), placement=placement)
    np.testing.assert_allclose(corrected.xy[60], truth[60], atol=1e-4)
    assert np.flatnonzero(corrected.visible).tolist() == [*range(48), 60]


# ---------------------------------------------------------------- visibility


def test_corrected_points_are_visible_unless_they_are_hidden() -> None:
    truth = face()
    unseen = np.arange(68) >= 10
    anchor = place(
        AnchorPlacer(get_confidence=lambda: Confidence(np.zeros(68))),
        *(truth, at(truth, 5, 40, 41), unseen),
        hidden={5, 41},
    )
    assert not anchor.visible[5]
    assert not anchor.visible[41]
    assert anchor.visible[40]
    assert not anchor.visible[:10].any()
    assert anchor.by_hand[[5, 40, 41]].all()


def test_landmarks_that_the_tracker_does_not_see_may_be_seen_after_all() -> None:
    """Where they were placed anew, a network says whether something covers them."""
    truth, seen = face(), np.ones(68, bool)
    seen[MOUTH] = False
    probability = np.zeros(68)
    probability[60:] = 0.9
    placer = AnchorPlacer(get_confidence=lambda: Confidence(probability))
    anchor = place(placer, truth, at(truth, 8), seen)
    assert np.flatnonzero(~anchor.visible).tolist() == list(range(48, 60))
    alone = place(AnchorPlacer(), truth, at(truth, 8), seen)
    np.testing.assert_array_equal(alone.visible, seen)
    lost = np.zeros(68, bool)
    assert place(AnchorPlacer(), truth, at(truth, 8), lost).visible.all(), "nobody can tell"


def test_models_are_loaded_when_they_are_needed() -> None:
    loaded = []

    def loader(name: str):
        return lambda: loaded.append(name)

    placer = AnchorPlacer(loader("detector"), loader("shapes"), loader("confidence"))
    assert loaded == []
    placer.load_models("points-5")
    assert loaded == ["detector"]
    placer.load_models("68")
    assert sorted(loaded) == ["confidence", "detector", "detector", "shapes"]
