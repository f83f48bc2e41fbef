"""Smoothing of a network's points by optical flow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facetrack.trackers.tapir import template_alignment
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.flow_smoothing import (
    DISAGREE_PX,
    NETWORK_SHARE,
    FlowSmoother,
    View,
    blend,
    flow,
)

POINTS = np.array([[60.0, 50.0], [90.0, 70.0], [75.0, 95.0], [110.0, 60.0]])
STEP = np.array([1.6, -0.7])
FULL_SIZE = Window(-28, -48, 256)  # the crop has the scale of the frame


@pytest.fixture
def unaligned(monkeypatch):
    """Flow and network without alignment to the query frame."""
    monkeypatch.setattr(template_alignment, "ALIGNMENT_SHARE", 0.0)


def _frames(count):
    """A textured picture sliding by STEP a frame."""
    noise = np.random.default_rng(0).normal(0, 1, (160, 200)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.5)
    picture = np.uint8(np.clip(128 + 60 * noise / noise.std(), 0, 255))
    frames = []
    for i in range(count):
        move = np.column_stack([np.eye(2), i * STEP])
        frames.append(cv2.warpAffine(picture, move, (200, 160), flags=cv2.INTER_CUBIC))
    return [cv2.cvtColor(f, cv2.COLOR_GRAY2RGB) for f in frames]


def _run(frames, network, seen=None, window=FULL_SIZE):
    """Return the smoothed points of every frame; `network` is (T, N, 2) raster."""
    steady, out = FlowSmoother(frames[0], _truth(1)[0], window), []
    for t, frame in enumerate(frames):
        now = np.ones(len(POINTS), bool) if seen is None else seen[t]
        out.append(steady.step(frame, window, network[t], now))
    return np.stack(out)


def _truth(count):
    return POINTS[None] + np.arange(count)[:, None, None] * STEP


@pytest.mark.parametrize("window", [None, Window(20, 10, 128), Window(-20, -10, 200)])
def test_noise_is_reduced_without_lag(window, unaligned):
    truth = _truth(20)
    network = truth + np.random.default_rng(1).normal(0, 0.4, truth.shape)
    error = (_run(_frames(20), network, window=window) - truth)[8:]
    raw = (network - truth)[8:]
    assert np.abs(np.diff(error, axis=0)).mean() < 0.4 * np.abs(np.diff(raw, axis=0)).mean()
    assert abs(float((error @ STEP).mean())) < 0.2


def test_alignment_with_the_query_frame_removes_the_bias_of_the_network():
    """The network has the same error of half a pixel in every frame; flow alone would keep it."""
    truth = _truth(20)
    found = _run(_frames(20), truth + [0.5, -0.3])
    assert np.linalg.norm(found - truth, axis=-1)[8:].mean() < 0.25


def test_points_return_to_the_network_where_the_flow_is_wrong(unaligned):
    truth = _truth(6)
    truth[3:] += 2 * DISAGREE_PX  # the points leave the moving texture
    np.testing.assert_allclose(_run(_frames(6), truth)[3], truth[3])


def test_bias_of_the_flow_does_not_accumulate(unaligned):
    """The network's points rest, so the flow is wrong by STEP in every frame. The error stays below
    the limit at which the network's share compensates for it."""
    steady = np.repeat(POINTS[None], 40, 0)
    error = np.linalg.norm(_run(_frames(40), steady) - steady, axis=-1)
    assert error[-10:].max() < np.linalg.norm(STEP) / NETWORK_SHARE
    assert error[-10:].max() < DISAGREE_PX


def test_hidden_points_keep_the_position_of_the_network(unaligned):
    network = _truth(5) + np.random.default_rng(2).normal(0, 0.4, (5, len(POINTS), 2))
    seen = np.ones((5, len(POINTS)), bool)
    seen[2, 0] = False
    found = _run(_frames(5), network, seen)
    np.testing.assert_array_equal(found[2, 0], network[2, 0])
    np.testing.assert_array_equal(found[3, 0], network[3, 0])  # no flow from where it was hidden
    assert np.abs(found[3, 1] - network[3, 1]).max() > 1e-3


def _lost(count):
    """Return positions and visibility of points that the network loses from the third frame on."""
    network, seen = _truth(count), np.ones((count, len(POINTS)), bool)
    network[2:] += 25
    seen[2:] = False
    return network, seen


def test_flow_alone_propagates_points_that_the_network_does_not_recognise(unaligned):
    network, seen = _lost(6)
    found = _run(_frames(6), network, seen, None)
    np.testing.assert_allclose(found, _truth(6), atol=0.3)
    seen[5] = True  # found again, elsewhere
    found = _run(_frames(6), network, seen, None)
    np.testing.assert_allclose(found[5], network[5])


def test_flow_stops_after_an_interruption(unaligned):
    network, seen = _lost(6)
    frames = _frames(6)
    frames[3] = np.random.default_rng(5).integers(0, 255, frames[3].shape).astype(np.uint8)
    found = _run(frames, network, seen, None)
    np.testing.assert_allclose(found[2], _truth(6)[2], atol=0.3)
    np.testing.assert_array_equal(found[3:], network[3:])


def test_blend_shifts_from_flow_to_network():
    flowed, network = np.zeros((3, 2)), np.array([[0.5, 0.0], [DISAGREE_PX, 0.0], [0.5, 0.0]])
    residual = np.array([0.0, 0.0, np.inf])
    expected = [[0.5 * NETWORK_SHARE, 0], [DISAGREE_PX, 0], [0.5, 0]]
    np.testing.assert_allclose(blend(flowed, residual, network), expected)


def test_flow_finds_a_translation():
    first, second = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in _frames(2))
    there, residual = flow(first, second, POINTS)
    np.testing.assert_allclose(there, POINTS + STEP, atol=0.1)
    assert residual.max() < 4


@pytest.mark.parametrize("window", [None, Window(-30, 5, 90)])
def test_view_coordinates_are_invertible(window):
    frame = np.zeros((700, 900, 3), np.uint8)
    view = View.of(frame, window)
    np.testing.assert_allclose(view.to_frame(view.to_view(POINTS)), POINTS)
    corner = view.to_view(np.array([[0.0, 0.0] if window is None else [-30.0, 5.0]]))
    np.testing.assert_allclose(corner, -0.5)
