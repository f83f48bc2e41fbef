"""Windows get their kinds by overlap, and say where the face is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facetrack.training.face_detectors import samples
from facetrack.training.face_detectors.samples import LANDMARK, NEGATIVE, NEITHER, PART, POSITIVE
from facetrack.training.face_detectors.scenes import HEIGHT, WIDTH, Faces, Scene, Source

BOX = np.array([100.0, 100.0, 200.0, 200.0])
FIVE = np.array([(130, 130), (170, 130), (150, 150), (135, 175), (165, 175)], float)


def scene(boxes: np.ndarray | None = None, points: np.ndarray | None = None) -> Scene:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    boxes = BOX[None] if boxes is None else boxes
    points = FIVE[None] if points is None else points
    return Scene(image, boxes, points, boxes + [-30, -30, 30, 30])


def of_overlap(iou: float) -> np.ndarray:
    """A window of BOX's size that is moved right so far that their overlap is `iou`."""
    return BOX + 100 * (1 - iou) / (1 + iou) * np.array([1, 0, 1, 0])


@pytest.mark.parametrize(
    ("iou", "kind"),
    [
        (0.66, POSITIVE), (0.64, PART), (0.41, PART), (0.39, NEITHER), (0.31, NEITHER),
        (0.29, NEGATIVE), (0.0, NEGATIVE),
    ],
)  # fmt: skip
def test_the_overlap_is_the_kind(iou: float, kind: int) -> None:
    window = of_overlap(iou)[None]
    assert samples.overlaps(window, BOX[None])[0, 0] == pytest.approx(iou)
    assert classify_one(window) == kind


def classify_one(window: np.ndarray) -> int:
    return int(samples.classify(window, scene())[0][0])


def test_every_second_positive_is_a_landmark_face() -> None:
    windows = np.stack([of_overlap(v) for v in (0.9, 0.5, 0.9, 0.1, 0.9, 0.9)])
    kind, _ = samples.classify(windows, scene())
    assert kind.tolist() == [POSITIVE, PART, LANDMARK, NEGATIVE, POSITIVE, LANDMARK]


def test_a_window_belongs_to_the_face_that_it_overlaps_most() -> None:
    two = np.stack([BOX, BOX + 120])
    windows = np.stack([BOX + 5, BOX + 118])
    kind, face = samples.classify(windows, scene(two, np.stack([FIVE, FIVE + 120])))
    assert (kind != NEGATIVE).all()
    assert face.tolist() == [0, 1]


def test_without_faces_all_are_negatives() -> None:
    empty = scene(np.empty((0, 4)), np.empty((0, 5, 2)))
    assert samples.classify(BOX[None], empty)[0].tolist() == [NEGATIVE]


def test_what_stands_beside_a_face_may_be_another() -> None:
    beside, on_face, far = BOX + [80, 0, 20, -60], BOX + 40, BOX + 300
    beside = np.array([205.0, 105, 225, 125])
    found = samples.may_show_others(np.stack([beside, on_face, far]), scene())
    assert found.tolist() == [True, False, False]


def test_targets_are_in_sides_of_the_window() -> None:
    window = np.array([[90.0, 80.0, 210.0, 200.0]])
    cut = samples._cut(scene(), window, np.array([PART]), np.array([0]), 24)
    assert cut.pictures.shape == (1, 24, 24, 3)
    # An answer is applied as the detector does: window + offset * side.
    np.testing.assert_allclose(window[0] + cut.offsets[0] * 120, BOX, rtol=1e-5)
    points = cut.points[0].reshape(2, 5).T * 120 + window[0, :2]
    np.testing.assert_allclose(points, FIVE, rtol=1e-5)


def tiny_source() -> Source:
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (1, 256, 256, 3), np.uint8)
    points = random.uniform(60, 190, (1, 68, 2))
    background = random.integers(0, 255, (120, 160, 3), np.uint8)
    return Source(Faces(picture, points), [background])


def test_the_first_network_s_windows_are_of_all_kinds() -> None:
    drawn = samples.collect(tiny_source(), 6, 12, np.random.default_rng(0))
    assert set(drawn.kind.tolist()) == {NEGATIVE, POSITIVE, PART, LANDMARK}
    assert drawn.pictures.shape == (len(drawn.kind), 12, 12, 3)
    assert not drawn.offsets[drawn.kind == NEGATIVE].any()
    positive = drawn.kind == POSITIVE
    assert np.abs(drawn.offsets[positive]).max() < 0.5
    assert drawn.points[positive].any(1).all()


def test_the_networks_before_give_negatives_and_part_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed = scene()
    monkeypatch.setattr(samples, "draw_scene", lambda *_: fixed)
    monkeypatch.setattr(samples, "draw_windows", lambda *_: np.empty((0, 4)))
    beside = [205.0, 105, 225, 125]  # in the face's picture: perhaps somebody else
    far, part, tiny = [400.0, 200, 450, 250], of_overlap(0.5), [400.0, 200, 408, 208]
    mined = np.array([beside, far, part, tiny])
    seen = []

    def mine(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return mined

    drawn = samples.collect(tiny_source(), 1, 24, np.random.default_rng(0), mine)
    assert seen[0] is fixed.image
    assert sorted(drawn.kind.tolist()) == [NEGATIVE, PART]


def test_mined_windows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = scene(np.empty((0, 4)), np.empty((0, 5, 2)))
    monkeypatch.setattr(samples, "draw_scene", lambda *_: fixed)
    monkeypatch.setattr(samples, "draw_windows", lambda *_: np.empty((0, 4)))
    many = np.tile(BOX, (500, 1))
    drawn = samples.collect(tiny_source(), 2, 12, np.random.default_rng(0), lambda _: many)
    assert len(drawn.kind) == 2 * samples.MAX_MINED


@pytest.mark.parametrize(("seconds", "drawn"), [(0.0, 1), (math.inf, 4)])
def test_no_scene_is_drawn_after_the_time(
    seconds: float, drawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes: list[Scene] = []
    monkeypatch.setattr(samples, "draw_scene", lambda *_: scenes.append(scene()) or scenes[-1])
    samples.collect(tiny_source(), 4, 12, np.random.default_rng(0), max_seconds=seconds)
    assert len(scenes) == drawn


def test_a_batch_has_the_paper_s_ratio() -> None:
    assert samples.batch_counts(70) == {NEGATIVE: 30, POSITIVE: 10, PART: 10, LANDMARK: 20}
    assert min(samples.batch_counts(2).values()) == 1
