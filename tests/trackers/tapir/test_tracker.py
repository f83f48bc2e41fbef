"""tapir-s as the pipeline uses it, on a face with known motion."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from facetrack.trackers.tapir import TAPIR, TapirConfig, occlusion, predictor
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import WindowFollower
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.search_region import extract_within
from facetrack.trackers.tapir.tracker import OFFLINE_WINDOW, TapirTracker
from facetrack.weights import BUNDLED
from facetrack.weights.store import path_of

STEP = np.array([3.0, 1.5])
FRAMES = 10


def _tracker(precision=torch.float32, follow=True) -> TapirTracker:
    path = path_of(BUNDLED["tapir-s"])
    tapir = TAPIR.from_checkpoint(path, precision=precision)
    return TapirTracker(tapir, follow, path, BUNDLED["tapir-s"])


def _moving_face(step, count) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (T, H, W, 3) of a face that moves by `step` per frame, and points (T, N, 2)."""
    skimage = pytest.importorskip("skimage.data")
    photo = np.ascontiguousarray(skimage.astronaut()[:300, 60:460])
    rows, columns = np.mgrid[80:180:7j, 130:200:7j]
    points = np.stack([columns.ravel(), rows.ravel()], -1).astype(np.float32)
    frames, truth = [], []
    for i in range(count):
        dx, dy = i * np.asarray(step)
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        size = (photo.shape[1], photo.shape[0])
        frames.append(cv2.warpAffine(photo, move, size, borderMode=cv2.BORDER_REPLICATE))
        truth.append(points + np.float32([dx, dy]))
    return np.stack(frames), np.stack(truth)


@pytest.fixture(scope="module")
def clip():
    """A face that moves by STEP per frame."""
    return _moving_face(STEP, FRAMES)


def _follow(tracker, clip):
    frames, truth = clip
    state = tracker.start(frames[0], truth[0])
    return tracker.step(state, frames)


@pytest.mark.parametrize("follow", [True, False], ids=["window", "whole frame"])
def test_points_follow_the_face(clip, follow):
    result = _follow(_tracker(follow=follow), clip)
    error = np.linalg.norm(result.xy - clip[1], axis=-1)
    assert np.median(error) < 0.6
    # A confusion of pixel centres with corners would show as a bias of half a pixel.
    assert np.abs(np.median(result.xy - clip[1], axis=(0, 1))).max() < 0.25
    assert result.visible.mean() > 0.9


def test_chunk_sizes_change_little(clip):
    frames, truth = clip
    whole = _follow(_tracker(), clip)
    tracker = _tracker()
    state = tracker.start(frames[0], truth[0])
    parts = [tracker.step(state, frames[i : i + 3]).xy for i in range(0, FRAMES, 3)]
    # Sums differ in order, and the points are sought in other parts of the window.
    difference = np.abs(np.concatenate(parts) - whole.xy)
    assert np.median(difference) < 2e-3
    assert difference.max() < 0.1


def test_bfloat16_changes_points_little(clip):
    exact, rounded = _follow(_tracker(), clip), _follow(_tracker(torch.bfloat16), clip)
    difference = np.linalg.norm(exact.xy - rounded.xy, axis=-1)
    assert np.median(difference) < 0.1
    assert difference.max() < 1.0


def test_the_record_names_weights_and_licence():
    entry = _tracker().describe()
    assert entry["weights"] == "tapir-s"
    assert len(entry["sha256"]) == 64
    assert "research" in entry["licence"]


def test_an_offline_network_has_overlapping_windows():
    config = replace(TapirConfig(), mixer_blocks=1)
    tracker = TapirTracker(TAPIR(build_network(config).eval()), True, path_of(BUNDLED["tapir-s"]))
    assert tracker.window == OFFLINE_WINDOW
    assert not tracker.follow


def test_the_window_follows_the_network_whatever_the_occlusion_head_returns(clip, monkeypatch):
    """All points of a mostly hidden face are doubtful: the window must not leave it for that."""
    tracker = _tracker()
    head = tracker.tapir.network.occlusion_head
    assert head is not None
    monkeypatch.setattr(head.out.bias, "data", torch.full((1,), 50.0))  # all points are hidden
    monkeypatch.setattr(occlusion, "DOUBTFUL_VISIBILITY", (0.0, 1.0))
    frames, truth = clip
    state = tracker.start(frames[0], truth[0])
    result = tracker.step(state, frames)
    assert not result.visible.any()
    assert state.follower.lost == 0
    moved = (truth[-1] - truth[0]).mean(0)
    start = _tracker().start(frames[0], truth[0]).follower.window
    now = state.follower.window
    shift = np.array([now.left - start.left, now.top - start.top]) + (now.side - start.side) / 2
    assert (shift > 0.6 * moved).all()  # it stays for several frames at a time


def test_a_single_group_equals_points_without_groups(clip):
    frames, truth = clip
    alone = _follow(_tracker(), clip)
    tracker = _tracker()
    state = tracker.start(frames[0], truth[:1])
    for own, grouped in zip(alone, tracker.step(state, frames), strict=True):
        np.testing.assert_array_equal(grouped[:, 0], own)


@pytest.mark.parametrize("follow", [True, False], ids=["window", "whole frame"])
def test_groups_are_tracked_as_if_alone(clip, follow):
    frames, truth = clip
    shifts = np.float32([[0, 0], [2, 1], [-1, 2]])
    tracker = _tracker(follow=follow)
    result = tracker.step(tracker.start(frames[0], truth[0] + shifts[:, None]), frames)
    assert result.xy.shape == (FRAMES, 3, truth.shape[1], 2)
    assert result.visible.shape == result.confidence.shape == result.xy.shape[:-1]
    for group, shift in enumerate(shifts):
        error = np.linalg.norm(result.xy[:, group] - (truth + shift), axis=-1)
        assert np.median(error) < 0.6


def test_a_bad_group_does_not_affect_the_others(clip):
    """Its points are scattered over the frame; the window stays with the other two groups."""
    frames, truth = clip
    stray = np.random.default_rng(0).uniform(0, 290, truth[0].shape).astype(np.float32)
    tracker = _tracker()
    state = tracker.start(frames[0], np.stack([truth[0], stray, truth[0]]))
    alone = tracker.start(frames[0], truth[0])
    assert state.follower.window.side < 1.4 * alone.follower.window.side
    result = tracker.step(state, frames)
    assert np.median(np.linalg.norm(result.xy[:, 0] - truth, axis=-1)) < 0.6


def test_the_backbone_runs_once_per_frame_for_all_groups(clip):
    frames, truth = clip
    tracker, seen = _tracker(), []
    network = tracker.tapir.network
    features = network.extract_features
    network.extract_features = lambda batch: seen.append(len(batch)) or features(batch)
    state = tracker.start(frames[0], np.repeat(truth[:1], 4, 0))
    tracker.step(state, frames[:4])
    assert sum(seen) == 1 + 4


def _two_starts(tracker, clip):
    """Return states of the points of the first frame, and of half of them, moved a little."""
    frames, truth = clip
    return [tracker.start(frames[0], points) for points in (truth[0], truth[0][::2] + 0.5)]


@pytest.mark.parametrize("follow", [True, False], ids=["window", "whole frame"])
def test_faces_stepped_together_are_tracked_as_if_alone(clip, follow):
    tracker = _tracker(follow=follow)
    alone = [tracker.step(state, clip[0]) for state in _two_starts(tracker, clip)]
    together = tracker.step_many(_two_starts(tracker, clip), clip[0])
    for separate, shared in zip(alone, together, strict=True):
        # With fewer threads, sums may be in a different order.
        np.testing.assert_allclose(separate.xy, shared.xy, atol=0.02)
        np.testing.assert_array_equal(separate.visible, shared.visible)


def test_in_whole_frames_the_backbone_runs_once_for_all_faces(clip, monkeypatch):
    tracker = _tracker(follow=False)
    states = _two_starts(tracker, clip)
    seen = []
    features = TapirNetwork.extract_features
    monkeypatch.setattr(
        TapirNetwork, "extract_features", lambda self, x: seen.append(len(x)) or features(self, x)
    )
    tracker.step_many(states, clip[0])
    assert sum(seen) == FRAMES


def test_a_calm_face_is_sought_in_a_part_of_the_window_and_tracked_as_well(clip, monkeypatch):
    sides = []

    def record(network, pictures, region):
        sides.append(RESOLUTION if region is None else region[2])
        return extract_within(network, pictures, region)

    monkeypatch.setattr(predictor, "extract_within", record)
    in_part = _follow(_tracker(), clip)
    assert min(sides) < RESOLUTION
    monkeypatch.setattr(TapirTracker, "_region", lambda *_: None)
    everywhere = _follow(_tracker(), clip)
    assert np.linalg.norm(in_part.xy - everywhere.xy, axis=-1).mean() < 0.3
    np.testing.assert_array_equal(in_part.visible, everywhere.visible)


def _count_frames(tracker, monkeypatch) -> list[int]:
    counts = []
    step = tracker.tapir.step

    def record(state, frames, region=None):
        counts.append(len(frames))
        return step(state, frames, region)

    monkeypatch.setattr(tracker.tapir, "step", record)
    return counts


@pytest.fixture(scope="module")
def calm_clip():
    """A face that moves by a fifth of a pixel per frame."""
    return _moving_face((0.2, 0.1), 24)


def test_the_network_sees_half_the_frames_of_a_calm_face(calm_clip, monkeypatch):
    tracker = _tracker()
    counts = _count_frames(tracker, monkeypatch)
    some = _follow(tracker, calm_clip)
    assert sum(counts) <= 8 + 16 // 2
    monkeypatch.setattr(WindowFollower, "is_calm", False)
    counts.clear()
    every = _follow(tracker, calm_clip)
    assert sum(counts) == 24
    errors = [np.linalg.norm(r.xy - calm_clip[1], axis=-1).mean() for r in (some, every)]
    assert errors[0] < 1.1 * errors[1] + 0.02
    np.testing.assert_array_equal(some.visible, every.visible)


def test_the_network_sees_every_frame_where_its_own_positions_are_wanted(calm_clip, monkeypatch):
    tracker = _tracker()
    tracker.steady = False
    counts = _count_frames(tracker, monkeypatch)
    _follow(tracker, calm_clip)
    assert sum(counts) == 24


def test_the_network_sees_every_frame_of_a_fast_face(clip, monkeypatch):
    tracker = _tracker()
    counts = _count_frames(tracker, monkeypatch)
    frames, truth = clip
    _follow(tracker, (frames[::2], truth[::2]))
    assert sum(counts) == len(frames[::2])
