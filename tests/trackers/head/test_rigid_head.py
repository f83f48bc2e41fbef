"""Hidden landmarks lie on the head, however far it has turned."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.measures import face_model, rotations
from facetrack.trackers.head.rigid_head import RigidHead

SIZE = (640, 480)
FAR_SIDE = [*range(0, 8), 17, 18, 19, 36, 37, 40, 41]
"""Landmarks that the head hides once it is turned to the left of the image."""


def seen_from(
    yaw: float,
    pitch: float = 0.0,
    roll: float = 0.0,
    scale: float = 1.5,
    middle: tuple[float, float] = (320, 240),
) -> np.ndarray:
    """Return the mean face (68, 2) in a pose, in degrees, by a scaled orthographic camera."""
    turn = rotations.from_angles(np.radians([pitch, yaw, roll]))
    flat = scale * (face_model.load().mean @ turn.T)[:, :2] + middle
    return np.asarray(flat)


def turned_to(
    head: RigidHead, last: np.ndarray, poses: list[tuple[float, float, float]]
) -> np.ndarray:
    """Return the landmarks of the last pose; on the way, the far side is hidden and left behind."""
    confidence = np.ones(68)
    confidence[FAR_SIDE] = 0.02
    placed = last
    for pose in poses:
        xy = seen_from(*pose)
        xy[FAR_SIDE] = last[FAR_SIDE]
        placed = head.place_hidden(xy.astype(np.float32), confidence)
    return placed


@pytest.mark.parametrize("yaw", [20, 45, 70])
def test_the_far_side_of_a_turned_head_is_on_the_head(yaw: int) -> None:
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    placed = turned_to(head, front, [(angle, 0, 0) for angle in range(5, yaw + 1, 5)])
    off = np.linalg.norm(placed - seen_from(yaw), axis=1)
    eyes = 1.5 * face_model.EYE_CORNER_DISTANCE
    assert off[FAR_SIDE].mean() < 0.05 * eyes
    # Left where they were, or moved as their neighbours in the picture, they are far off.
    left = np.linalg.norm(front - seen_from(yaw), axis=1)[FAR_SIDE].mean()
    assert off[FAR_SIDE].mean() < 0.4 * left


@pytest.mark.parametrize("middle", [(320, 240), (100, 240), (560, 400)])
def test_it_does_not_matter_where_in_the_picture_the_head_is(middle: tuple[float, float]) -> None:
    head = RigidHead(seen_from(0, middle=middle), SIZE)
    confidence = np.ones(68)
    confidence[FAR_SIDE] = 0
    for yaw in range(2, 26, 2):
        truth = seen_from(yaw, middle=middle)
        hidden = np.where(confidence[:, None] == 0, 0, truth)
        placed = head.place_hidden(hidden, confidence)
    off = np.linalg.norm(placed - truth, axis=1)[FAR_SIDE].mean()
    assert off < 0.03 * 1.5 * face_model.EYE_CORNER_DISTANCE


@settings(max_examples=30, deadline=None)
@given(
    yaw=st.floats(15, 60),
    pitch=st.floats(-15, 15),
    roll=st.floats(-25, 25),
    start=st.floats(-15, 15),
)
def test_any_pose_from_any_start(yaw: float, pitch: float, roll: float, start: float) -> None:
    first = seen_from(start)
    head = RigidHead(first, SIZE)
    way = [(start + (yaw - start) * k / 8, pitch * k / 8, roll * k / 8) for k in range(1, 9)]
    placed = turned_to(head, first, way)
    off = np.linalg.norm(placed - seen_from(yaw, pitch, roll), axis=1)
    assert off[FAR_SIDE].mean() < 0.08 * 1.5 * face_model.EYE_CORNER_DISTANCE


def test_visible_points_stay_where_they_are() -> None:
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    xy = (seen_from(30) + np.random.default_rng(0).normal(0, 2, (68, 2))).astype(np.float32)
    confidence = np.linspace(0.5, 1, 68)
    assert head.place_hidden(xy, confidence) is xy
    confidence[:10] = 0.1
    placed = head.place_hidden(xy, confidence)
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed[10:], xy[10:], atol=1e-3)
    assert np.abs(placed[:10] - xy[:10]).max() > 1


def test_a_hidden_chin_goes_down_with_the_mouth() -> None:
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    opened = front.copy()
    opened[[4, 5, 6, 7, 8, 9, 10, 11, 12, 55, 56, 57, 58, 59, 65, 66, 67], 1] += 20
    confidence = np.ones(68)
    confidence[[7, 8, 9]] = 0.0
    tracked = opened.copy()
    tracked[[7, 8, 9]] = front[[7, 8, 9]]
    placed = head.place_hidden(tracked, confidence)
    assert (placed[[7, 8, 9], 1] - front[[7, 8, 9], 1]).min() > 10


def test_a_head_that_nobody_sees_stays() -> None:
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    before = turned_to(head, front, [(angle, 0, 0) for angle in range(5, 41, 5)])
    placed = head.place_hidden(seen_from(-60) + 300, np.zeros(68))
    assert np.linalg.norm(placed - before, axis=1).mean() < 1.0


def test_a_profile_does_not_turn_back_where_its_landmarks_are_noisy() -> None:
    """The near side lies nearly in a plane: noise alone would turn the head by tens of degrees."""
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    turned_to(head, front, [(angle, 0, 0) for angle in range(4, 57, 4)])
    confidence = np.ones(68)
    confidence[FAR_SIDE] = 0.02
    truth, random = seen_from(56), np.random.default_rng(0)
    unit = 1.5 * face_model.EYE_CORNER_DISTANCE
    worst = 0.0
    for _ in range(40):
        noisy = truth + random.normal(0, 0.04 * unit, (68, 2))
        placed = head.place_hidden(noisy.astype(np.float32), confidence)
        off = np.linalg.norm(placed - truth, axis=1)[FAR_SIDE].mean()
        worst = max(worst, float(off))
    assert worst < 0.07 * unit


@pytest.mark.parametrize(
    "points", [np.zeros((68, 2)), np.random.default_rng(1).uniform(0, 400, (68, 2))]
)
def test_points_that_are_no_face_do_no_harm(points: np.ndarray) -> None:
    head = RigidHead(points, SIZE)
    confidence = np.ones(68)
    confidence[::2] = 0
    assert np.isfinite(head.place_hidden(points + 5, confidence)).all()


def test_a_saved_head_goes_on() -> None:
    front = seen_from(0)
    head = RigidHead(front, SIZE)
    turned_to(head, front, [(angle, 0, 0) for angle in range(5, 31, 5)])
    again = pickle.loads(pickle.dumps(head))
    ways = [(35.0, 0.0, 0.0)]
    np.testing.assert_array_equal(turned_to(head, front, ways), turned_to(again, front, ways))
