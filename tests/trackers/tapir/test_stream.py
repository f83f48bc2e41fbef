"""tapir-s as the pipeline uses it, on a face that moves by known amounts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from facetrack.trackers.tapir import TAPIR, TapirConfig
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.stream import OFFLINE_WINDOW, TapirTracker
from facetrack.weights import BUNDLED

STEP = np.array([3.0, 1.5])
FRAMES = 10


def _tracker(precision=torch.float32, follow=True) -> TapirTracker:
    path = BUNDLED["tapir-s"].path
    tapir = TAPIR.from_checkpoint(path, precision=precision)
    return TapirTracker(tapir, follow, path, BUNDLED["tapir-s"])


@pytest.fixture(scope="module")
def clip():
    """(T, H, W, 3) a face sliding by STEP a frame, and (T, N, 2) points on it."""
    skimage = pytest.importorskip("skimage.data")
    photo = np.ascontiguousarray(skimage.astronaut()[:300, 60:460])
    rows, columns = np.mgrid[80:180:7j, 130:200:7j]
    points = np.stack([columns.ravel(), rows.ravel()], -1).astype(np.float32)
    frames, truth = [], []
    for i in range(FRAMES):
        dx, dy = i * STEP
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        size = (photo.shape[1], photo.shape[0])
        frames.append(cv2.warpAffine(photo, move, size, borderMode=cv2.BORDER_REPLICATE))
        truth.append(points + np.float32([dx, dy]))
    return np.stack(frames), np.stack(truth)


def _follow(tracker, clip):
    frames, truth = clip
    state = tracker.start(frames[0], truth[0])
    return tracker.step(state, frames)


@pytest.mark.parametrize("follow", [True, False], ids=["window", "whole frame"])
def test_points_are_where_the_face_has_moved_them(clip, follow):
    result = _follow(_tracker(follow=follow), clip)
    error = np.linalg.norm(result.xy - clip[1], axis=-1)
    assert np.median(error) < 0.6
    # A half-pixel slip between pixel centres and corners would show as a bias.
    assert np.abs(np.median(result.xy - clip[1], axis=(0, 1))).max() < 0.25
    assert result.visible.mean() > 0.9


def test_chunks_do_not_matter(clip):
    frames, truth = clip
    whole = _follow(_tracker(), clip)
    tracker = _tracker()
    state = tracker.start(frames[0], truth[0])
    parts = [tracker.step(state, frames[i : i + 3]).xy for i in range(0, FRAMES, 3)]
    np.testing.assert_allclose(np.concatenate(parts), whole.xy, atol=1e-3)


def test_bfloat16_moves_points_by_little(clip):
    exact, rounded = _follow(_tracker(), clip), _follow(_tracker(torch.bfloat16), clip)
    difference = np.linalg.norm(exact.xy - rounded.xy, axis=-1)
    assert np.median(difference) < 0.1
    assert difference.max() < 1.0


def test_the_sidecar_learns_which_weights_and_under_which_licence():
    said = _tracker().describe()
    assert said["weights"] == "tapir-s"
    assert len(said["sha256"]) == 64
    assert "research" in said["licence"]


def test_an_offline_network_asks_for_overlapping_stretches():
    config = replace(TapirConfig(), mixer_blocks=1)
    tracker = TapirTracker(TAPIR(TapirNetwork(config).eval()), True, BUNDLED["tapir-s"].path)
    assert tracker.window == OFFLINE_WINDOW
    assert not tracker.follow
