"""Patches of a face that follow its pose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.landmarks import schemes
from facetrack.ops.similarity import as_complex
from facetrack.trackers.expression.face_parts import PARTS, STEADY, Rest, cut, into, out_of

SIZE = 600


def _face() -> np.ndarray:
    """68 points that are their own mirror image, 120 pixels between the outer eye corners."""
    face = np.random.default_rng(3).uniform(200, 400, (68, 2))
    face[36], face[39], face[33] = (240, 280), (275, 280), (300, 320)
    face[48], face[51], face[57] = (270, 360), (300, 350), (300, 370)
    swap = np.array(schemes.get("68").swap)
    mirrored = face[swap] * (-1, 1) + (SIZE - 1, 0)
    right = np.arange(68) <= swap
    return np.where(right[:, None], face, mirrored)


def _moved(points: np.ndarray, angle: float, scale: float) -> np.ndarray:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - 300) @ turn + 300


def _picture() -> np.ndarray:
    noise = np.random.default_rng(5).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@given(st.floats(-3, 3), st.floats(0.3, 3), st.integers(0, 2))
def test_places_in_a_patch_turn_and_grow_with_the_face(angle, scale, part):
    rest = Rest(_face())
    home = rest.pose(rest.points)
    there = as_complex(_moved(_face(), angle, scale))
    pose = rest.pose(there)
    np.testing.assert_allclose(into(part, pose, there), into(part, home, rest.points), atol=1e-9)
    np.testing.assert_allclose(out_of(part, pose, into(part, pose, there)), there, atol=1e-7)


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.6, 0.8), (-1.2, 1.3)])
def test_patches_show_the_same_of_a_face_that_turns_and_grows(angle, scale):
    rest = Rest(_face())
    middle = np.array([300.0, 300.0])
    matrix = cv2.getRotationMatrix2D(middle.tolist(), -np.degrees(angle), scale)
    shown = cv2.warpAffine(_picture(), matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC)
    before = cut(_picture(), rest.pose(rest.points))
    now = cut(shown, rest.pose(as_complex(_moved(_face(), angle, scale))))
    for one, other in zip(before, now, strict=True):
        assert np.abs(one.astype(float) - other).mean() < 3


@pytest.mark.parametrize("part", range(3))
def test_a_patch_shows_a_place_of_the_frame_where_that_is(part):
    rest = Rest(_face())
    pose = rest.pose(rest.points)
    dot = rest.points[36 if part == 0 else 45 if part == 1 else 48]
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    cv2.circle(frame, (round(dot.real), round(dot.imag)), 3, (255, 255, 255), -1)
    patch = cut(frame, pose)[part][..., 0].astype(float)
    rows, columns = np.indices(patch.shape)
    kind = PARTS[part].kind
    centre = np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum() + 0.5
    place = into(part, pose, np.array([round(dot.real) + 1j * round(dot.imag)]))[0]
    wanted = np.array([place.real, place.imag]) * kind.scale + (kind.width / 2, kind.height / 2)
    np.testing.assert_allclose(centre, wanted, atol=0.3)


def test_the_left_eye_is_seen_as_the_right_one_in_the_mirror():
    rest = Rest(_face())
    pose = rest.pose(rest.points)
    np.testing.assert_allclose(
        into(0, pose, rest.points[PARTS[0].points]),
        into(1, pose, rest.points[PARTS[1].points]),
        atol=1e-9,
    )
    picture = _picture()
    both = np.where((np.arange(SIZE) < SIZE // 2)[:, None], picture, picture[:, ::-1])
    right, left, _ = cut(both, pose)
    assert np.abs(right.astype(float) - left).mean() < 1


def test_lips_do_not_move_the_patch_that_they_are_looked_for_in():
    rest = Rest(_face())
    smiling = _face()
    smiling[48:68] -= (0, 12)
    assert not set(range(48, 68)) & set(STEADY)
    pose = rest.pose(as_complex(smiling))
    assert abs(pose.middles[2] - rest.pose(rest.points).middles[2]) < 1e-9


def test_a_face_beyond_the_frame_has_patches():
    rest = Rest(_face())
    for shift in (-1000, 1000):
        for patch, part in zip(cut(_picture(), rest.pose(rest.points + shift)), PARTS, strict=True):
            assert patch.shape == (part.kind.height, part.kind.width, 3)
