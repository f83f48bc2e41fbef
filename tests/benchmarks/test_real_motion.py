"""Motion of real faces, given to still ones."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clips.real_motion import fields_on, from_landmarks, rotate, similarity

FACE = np.random.default_rng(0).uniform(-60, 60, (68, 2))
FACE[36], FACE[45] = (-40, -20), (40, -20)
FRAMES = 30


def _rigid():
    """(T, 68, 2) a face that slides, turns and grows, and never changes."""
    time = np.linspace(0, 1, FRAMES)
    return np.stack([1.2**t * rotate(FACE, 0.5 * t) + (300 + 50 * t, 200 - 20 * t) for t in time])


def test_similarity_is_recovered():
    scale, angle, shift = similarity(FACE, 1.3 * rotate(FACE, 0.4) + (5, -7))
    assert scale == pytest.approx(1.3)
    assert angle == pytest.approx(0.4)
    np.testing.assert_allclose(shift, (5, -7), atol=1e-9)


def test_a_rigid_face_has_pose_and_no_moves():
    motion = from_landmarks("x", _rigid())
    assert np.abs(motion.moves).max() < 0.01
    # Smoothing holds the ends back a little.
    assert motion.angle[-1] == pytest.approx(0.5, abs=0.04)
    assert motion.zoom[-1] == pytest.approx(1.2, abs=0.02)
    gone = motion.place[-1] - motion.place[0]
    np.testing.assert_allclose(gone * 80, (50, -20), atol=4)


def test_an_opening_mouth_moves_what_lies_there():
    landmarks = np.repeat(FACE[None] + 300, FRAMES, 0)
    landmarks[10:, 57] += (0, 12)
    moves = from_landmarks("x", landmarks).moves[20]
    assert np.linalg.norm(moves, axis=-1).argmax() == 57
    assert moves[57, 1] == pytest.approx(12 / 80, abs=0.02)


def test_fields_lead_back_from_where_the_points_have_gone():
    landmarks = np.repeat(FACE[None] + 300, FRAMES, 0)
    landmarks[10:, 57] += (0, 6)
    motion = from_landmarks("x", landmarks)
    reach, nodes = 120.0, 61
    fields = fields_on(FACE, reach, nodes, motion)
    assert fields.shape == (FRAMES, nodes, nodes, 2)
    assert np.abs(fields[0]).max() < 0.1
    there = FACE[57] + 80 * motion.moves[20, 57]
    column, row = np.round((there + reach) / (2 * reach / (nodes - 1))).astype(int)
    np.testing.assert_allclose(fields[20][row, column], FACE[57] - there, atol=1.5)
