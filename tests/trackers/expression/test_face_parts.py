"""Patches of a face turn and grow with its pose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.landmarks import schemes
from facetrack.ops.similarity import as_complex
from facetrack.trackers.expression.face_parts import (
    FACE_PARTS,
    RIGID_POINTS,
    QueryFace,
    crop_patches,
    frame_to_patch,
    patch_to_frame,
)

SIZE = 600


def _face() -> np.ndarray:
    """Return a mirror-symmetric face (68, 2), 120 px between the outer eye corners."""
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
def test_patch_positions_are_invariant_to_similarity_transforms(angle, scale, part):
    query = QueryFace(_face())
    home = query.estimate_pose(query.points)
    there = as_complex(_moved(_face(), angle, scale))
    pose = query.estimate_pose(there)
    np.testing.assert_allclose(
        frame_to_patch(part, pose, there), frame_to_patch(part, home, query.points), atol=1e-9
    )
    np.testing.assert_allclose(
        patch_to_frame(part, pose, frame_to_patch(part, pose, there)), there, atol=1e-7
    )


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.6, 0.8), (-1.2, 1.3)])
def test_patches_of_a_transformed_face_look_the_same(angle, scale):
    query = QueryFace(_face())
    middle = np.array([300.0, 300.0])
    matrix = cv2.getRotationMatrix2D(middle.tolist(), -np.degrees(angle), scale)
    shown = cv2.warpAffine(_picture(), matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC)
    before = crop_patches(_picture(), query.estimate_pose(query.points))
    now = crop_patches(shown, query.estimate_pose(as_complex(_moved(_face(), angle, scale))))
    for patch, expected in zip(now, before, strict=True):
        assert np.abs(patch.astype(float) - expected).mean() < 3


@pytest.mark.parametrize("part", range(3))
def test_a_dot_in_the_frame_appears_at_its_patch_position(part):
    query = QueryFace(_face())
    pose = query.estimate_pose(query.points)
    dot = query.points[36 if part == 0 else 45 if part == 1 else 48]
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    cv2.circle(frame, (round(dot.real), round(dot.imag)), 3, (255, 255, 255), -1)
    patch = crop_patches(frame, pose)[part][..., 0].astype(float)
    rows, columns = np.indices(patch.shape)
    layout = FACE_PARTS[part].layout
    centre = np.array([(columns * patch).sum(), (rows * patch).sum()]) / patch.sum() + 0.5
    place = frame_to_patch(part, pose, np.array([round(dot.real) + 1j * round(dot.imag)]))[0]
    wanted = np.array([place.real, place.imag]) * layout.px_per_unit + (
        layout.width / 2,
        layout.height / 2,
    )
    np.testing.assert_allclose(centre, wanted, atol=0.3)


def test_the_patch_of_the_left_eye_is_mirrored():
    query = QueryFace(_face())
    pose = query.estimate_pose(query.points)
    np.testing.assert_allclose(
        frame_to_patch(0, pose, query.points[FACE_PARTS[0].points]),
        frame_to_patch(1, pose, query.points[FACE_PARTS[1].points]),
        atol=1e-9,
    )
    picture = _picture()
    both = np.where((np.arange(SIZE) < SIZE // 2)[:, None], picture, picture[:, ::-1])
    right, left, _ = crop_patches(both, pose)
    assert np.abs(right.astype(float) - left).mean() < 1


def test_moving_lips_do_not_move_the_mouth_patch():
    query = QueryFace(_face())
    smiling = _face()
    smiling[48:68] -= (0, 12)
    assert not set(range(48, 68)) & set(RIGID_POINTS)
    pose = query.estimate_pose(as_complex(smiling))
    assert abs(pose.centres[2] - query.estimate_pose(query.points).centres[2]) < 1e-9


def test_a_face_outside_the_frame_has_patches():
    query = QueryFace(_face())
    for shift in (-1000, 1000):
        for patch, part in zip(
            crop_patches(_picture(), query.estimate_pose(query.points + shift)),
            FACE_PARTS,
            strict=True,
        ):
            assert patch.shape == (part.layout.height, part.layout.width, 3)
