"""Alignment of points with the picture of the query frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.trackers.tapir.template_alignment import (
    ALIGNMENT_SHARE,
    CLOSE_PX,
    FAR_PX,
    TemplateAligner,
    normalise_contrast,
)

POINTS = np.stack(np.meshgrid(np.arange(90.0, 170, 20), np.arange(95.0, 175, 25)), -1).reshape(
    -1, 2
)
SEEN = np.ones(len(POINTS), bool)


def picture(size: int = 256, seed: int = 0) -> np.ndarray:
    """(size, size) uint8 of smooth random texture."""
    noise = np.random.default_rng(seed).normal(0, 1, (size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.uint8(np.clip(128 + 35 * noise / noise.std(), 0, 255))


def moved(turn: complex, shift: complex) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned and scaled, then shifted, and where the points are in it."""
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    where = POINTS @ matrix[:, :2].T + matrix[:, 2]
    return cv2.warpAffine(picture(), matrix, (256, 256), flags=cv2.INTER_CUBIC), where


@given(st.floats(0.85, 1.2), st.floats(-0.6, 0.6), st.integers(0, 100))
def test_noise_is_reduced_for_any_turn_of_the_face(size, angle, seed):
    turn = size * np.exp(1j * angle)
    centre = 128 + 128j
    now, truth = moved(turn, centre - turn * centre + (3.3 - 2.2j))
    away = np.random.default_rng(seed).normal(0, 1, truth.shape)
    network = truth + 0.5 * away / np.linalg.norm(away, axis=-1, keepdims=True)
    off = np.linalg.norm(
        TemplateAligner(picture(), POINTS).align(now, network, SEEN) - truth, axis=-1
    )
    assert off.mean() < 0.35


@pytest.mark.parametrize(
    "light", [lambda x: 0.5 * x + 60, lambda x: 255 * (x / 255) ** 1.5, lambda x: x * RAMP]
)
def test_light_does_not_matter(light):
    now, truth = moved(1 + 0j, 2.5 - 1j)
    lit = np.uint8(np.clip(light(now.astype(float)), 0, 255))
    aligned = TemplateAligner(picture(), POINTS).align(lit, truth + [0.6, 0.0], SEEN)
    left = np.linalg.norm(aligned - truth, axis=-1)
    np.testing.assert_allclose(left, 0.6 * (1 - ALIGNMENT_SHARE), atol=0.15)


RAMP = np.linspace(0.6, 1.3, 256)


def test_hidden_points_stay():
    now, truth = moved(1 + 0j, 2.5 - 1j)
    seen = SEEN.copy()
    seen[2] = False
    network = truth + 0.5
    aligned = TemplateAligner(picture(), POINTS).align(now, network, seen)
    np.testing.assert_array_equal(aligned[2], network[2])
    assert (np.abs(aligned[seen] - network[seen]).max(1) > 0.2).all()


def test_a_different_picture_moves_points_little():
    network = POINTS + 0.5
    aligned = TemplateAligner(picture(), POINTS).align(picture(seed=1), network, SEEN)
    assert np.linalg.norm(aligned - network, axis=-1).max() < ALIGNMENT_SHARE * FAR_PX
    flat = TemplateAligner(picture(), POINTS).align(
        np.full((256, 256), 90, np.uint8), network, SEEN
    )
    np.testing.assert_allclose(flat, network, atol=0.2)


def test_points_keep_the_position_of_the_network_where_the_alignment_is_far_away():
    """A single point is wrong by more than FAR_PX; the others determine the turn of the face."""
    now, truth = moved(1 + 0j, 0j)
    network = truth.copy()
    network[0] += [FAR_PX + 0.5, 0]
    aligned = TemplateAligner(picture(), POINTS).align(now, network, SEEN)
    assert np.linalg.norm(aligned[0] - network[0]) < 0.5
    network[0] = truth[0] + [0.8 * CLOSE_PX, 0]
    aligned = TemplateAligner(picture(), POINTS).align(now, network, SEEN)
    assert np.linalg.norm(aligned[0] - truth[0]) < 0.4 * CLOSE_PX


def test_too_few_points_stay():
    now, truth = moved(1 + 0j, 2.5 - 1j)
    network = truth + 0.5
    few = SEEN & (np.arange(len(SEEN)) < 2)
    np.testing.assert_array_equal(
        TemplateAligner(picture(), POINTS).align(now, network, few), network
    )
    lost = np.full_like(network, np.nan)
    np.testing.assert_array_equal(TemplateAligner(picture(), POINTS).align(now, lost, SEEN), lost)
    alike = np.repeat(POINTS[:1], len(POINTS), 0)
    np.testing.assert_array_equal(
        TemplateAligner(picture(), alike).align(now, network, SEEN), network
    )


def test_pictures_may_differ_in_size():
    now, truth = moved(1 + 0j, 0j)
    beyond = cv2.copyMakeBorder(now, 10, 30, 20, 5, cv2.BORDER_REPLICATE)
    aligned = TemplateAligner(picture(), POINTS).align(beyond, truth + [20.4, 10.0], SEEN)
    np.testing.assert_allclose(aligned, truth + [20, 10], atol=0.3)


def test_normalised_pictures_have_equal_brightness_and_contrast():
    levels = normalise_contrast(np.uint8(picture() * RAMP / 1.3)).astype(float)
    for part in (levels[:, :128], levels[:, 128:]):
        assert abs(part.mean() - 128) < 2
        assert 20 < part.std() < 32
    assert normalise_contrast(np.full((64, 64), 200, np.uint8)).std() == 0
