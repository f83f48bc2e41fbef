"""Points between what optical flow says and what a network says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facetrack.trackers.tapir import template_alignment
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.flow_smoothing import FAR, SHARE, FlowSmoother, View, blend, flow

POINTS = np.array([[60.0, 50.0], [90.0, 70.0], [75.0, 95.0], [110.0, 60.0]])
STEP = np.array([1.6, -0.7])
WHOLE = Window(-28, -48, 256)  # of a pixel each


@pytest.fixture
def unanchored(monkeypatch):
    """Flow and network alone."""
    monkeypatch.setattr(template_alignment, "SHARE", 0.0)


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


def _run(frames, network, seen=None, window=WHOLE):
    """Steadied points of every frame; `network` (T, N, 2) raster."""
    steady, out = FlowSmoother(frames[0], _truth(1)[0], window), []
    for t, frame in enumerate(frames):
        now = np.ones(len(POINTS), bool) if seen is None else seen[t]
        out.append(steady.step(frame, window, network[t], now))
    return np.stack(out)


def _truth(count):
    return POINTS[None] + np.arange(count)[:, None, None] * STEP


@pytest.mark.parametrize("window", [None, Window(20, 10, 128), Window(-20, -10, 200)])
def test_noise_goes_and_nothing_lags(window, unanchored):
    truth = _truth(20)
    network = truth + np.random.default_rng(1).normal(0, 0.4, truth.shape)
    error = (_run(_frames(20), network, window=window) - truth)[8:]
    raw = (network - truth)[8:]
    assert np.abs(np.diff(error, axis=0)).mean() < 0.4 * np.abs(np.diff(raw, axis=0)).mean()
    assert abs(float((error @ STEP).mean())) < 0.2


def test_the_query_frames_picture_takes_the_networks_bias_away():
    """The network is off by the same half pixel in every frame, which flow alone would follow."""
    truth = _truth(20)
    found = _run(_frames(20), truth + [0.5, -0.3])
    assert np.linalg.norm(found - truth, axis=-1)[8:].mean() < 0.25


def test_a_wrong_flow_gives_way_to_the_network(unanchored):
    truth = _truth(6)
    truth[3:] += 2 * FAR  # the points leave what the picture shows there
    np.testing.assert_allclose(_run(_frames(6), truth)[3], truth[3])


def test_a_bias_of_the_flow_does_not_add_up(unanchored):
    """The network stands still, so the flow errs by STEP in every frame: no more than the steps
    that one share of the way undoes remain."""
    steady = np.repeat(POINTS[None], 40, 0)
    error = np.linalg.norm(_run(_frames(40), steady) - steady, axis=-1)
    assert error[-10:].max() < np.linalg.norm(STEP) / SHARE
    assert error[-10:].max() < FAR


def test_hidden_points_are_the_networks_own(unanchored):
    network = _truth(5) + np.random.default_rng(2).normal(0, 0.4, (5, len(POINTS), 2))
    seen = np.ones((5, len(POINTS)), bool)
    seen[2, 0] = False
    found = _run(_frames(5), network, seen)
    np.testing.assert_array_equal(found[2, 0], network[2, 0])
    np.testing.assert_array_equal(found[3, 0], network[3, 0])  # no flow from where it was hidden
    assert np.abs(found[3, 1] - network[3, 1]).max() > 1e-3


def _lost(count):
    """What the network says of points that it loses from the third frame on."""
    network, seen = _truth(count), np.ones((count, len(POINTS)), bool)
    network[2:] += 25
    seen[2:] = False
    return network, seen


def test_flow_alone_carries_on_what_the_network_does_not_recognise(unanchored):
    network, seen = _lost(6)
    found = _run(_frames(6), network, seen, None)
    np.testing.assert_allclose(found, _truth(6), atol=0.3)
    seen[5] = True  # found again, elsewhere
    found = _run(_frames(6), network, seen, None)
    np.testing.assert_allclose(found[5], network[5])


def test_flow_that_was_broken_once_carries_nothing_on(unanchored):
    network, seen = _lost(6)
    frames = _frames(6)
    frames[3] = np.random.default_rng(5).integers(0, 255, frames[3].shape).astype(np.uint8)
    found = _run(frames, network, seen, None)
    np.testing.assert_allclose(found[2], _truth(6)[2], atol=0.3)
    np.testing.assert_array_equal(found[3:], network[3:])


def test_blend_goes_from_flow_to_network():
    flowed, network = np.zeros((3, 2)), np.array([[0.5, 0.0], [FAR, 0.0], [0.5, 0.0]])
    residual = np.array([0.0, 0.0, np.inf])
    expected = [[0.5 * SHARE, 0], [FAR, 0], [0.5, 0]]
    np.testing.assert_allclose(blend(flowed, residual, network), expected)


def test_flow_finds_where_a_picture_went():
    first, second = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in _frames(2))
    there, residual = flow(first, second, POINTS)
    np.testing.assert_allclose(there, POINTS + STEP, atol=0.1)
    assert residual.max() < 4


@pytest.mark.parametrize("window", [None, Window(-30, 5, 90)])
def test_a_view_and_back(window):
    frame = np.zeros((700, 900, 3), np.uint8)
    view = View.of(frame, window)
    np.testing.assert_allclose(view.out_of(view.into(POINTS)), POINTS)
    corner = view.into(np.array([[0.0, 0.0] if window is None else [-30.0, 5.0]]))
    np.testing.assert_allclose(corner, -0.5)
