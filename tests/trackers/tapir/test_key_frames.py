"""The network sees every second frame of a calm face, and every frame of any other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from facetrack.trackers.tapir import TAPIR
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.key_frames import CALM_PX, KeyFrames, key_frames
from facetrack.trackers.tapir.predictor import Output
from facetrack.trackers.tapir.tracker import TapirTracker
from facetrack.weights import BUNDLED
from facetrack.weights.store import path_of

WINDOW = Window(10, 20, 256)
POINTS = np.random.default_rng(0).uniform(60, 200, (40, 2))


class _Stream:
    """The state of `_Network`: how many frames it has seen."""

    def __init__(self) -> None:
        self.caches: Any = 0
        self.memory: Any = None

    def copy(self) -> _Stream:
        copied = _Stream()
        copied.caches, copied.memory = self.caches, self.memory
        return copied


class _Network:
    """Knows where the points are in each frame: a frame's pixels hold its number."""

    def __init__(self, place, visible=lambda t: np.ones(len(POINTS), bool)) -> None:
        self.place, self.visible = place, visible
        self.seen: list[int] = []

    def step(self, stream: _Stream, crops: np.ndarray) -> Output:
        numbers = [int(crop[0, 0, 0]) for crop in crops]
        self.seen += numbers
        stream.caches += len(numbers)
        tracks = np.stack([self.place(t) for t in numbers], -2)
        logits = np.stack([np.where(self.visible(t), -9.0, 9.0) for t in numbers], -1)
        probability = np.stack([self.visible(t) for t in numbers], -1).astype(float)
        return Output(tracks, logits, np.full(logits.shape, -9.0), tracks, probability)


def _run(network: _Network, chunks: list[int], window=lambda i: WINDOW) -> tuple[np.ndarray, int]:
    """Step through chunks of frames; return the tracks, and the frames in the stream's state."""
    keys, stream, start, parts = KeyFrames(), _Stream(), 0, []
    for i, count in enumerate(chunks):
        numbers = np.arange(start, start + count, dtype=np.uint8)
        crops = np.broadcast_to(numbers[:, None, None, None], (count, 2, 2, 3))
        parts.append(keys.step(network, stream, crops, window(i)).tracks)  # type: ignore[arg-type]
        start += count
    return np.concatenate(parts, -2), stream.caches


def _moving(speed: float):
    return lambda t: POINTS + np.array([speed * t, 0.0])


def test_a_calm_face_is_seen_every_second_frame_and_interpolated() -> None:
    place = _moving(0.3 * CALM_PX)
    network = _Network(place)
    tracks, _ = _run(network, [4, 8, 5])
    # The first chunk shows that the face is calm; the last frame of each is a key frame.
    assert network.seen == [0, 1, 2, 3, 5, 7, 9, 11, 12, 14, 16]
    np.testing.assert_allclose(tracks, np.stack([place(t) for t in range(17)], -2))


def test_a_fast_face_is_seen_in_every_frame() -> None:
    network = _Network(_moving(0.6 * CALM_PX))
    _run(network, [4, 8])
    assert network.seen == list(range(12))


def test_where_the_calm_ends_the_frames_are_tracked_after_all() -> None:
    def place(t: int) -> np.ndarray:
        return POINTS + max(0, t - 8) ** 2 * CALM_PX

    network = _Network(place)
    tracks, frames = _run(network, [4, 8])
    assert network.seen == [0, 1, 2, 3, 5, 7, 9, 11, *range(4, 12)]
    assert frames == 12  # the state knows nothing of the first attempt
    np.testing.assert_allclose(tracks, np.stack([place(t) for t in range(12)], -2))


def test_points_that_vanish_end_the_calm() -> None:
    few, many = np.arange(len(POINTS)) > 0, np.arange(len(POINTS)) > 10
    for left, skips in ((few, True), (many, False)):
        network = _Network(_moving(0), lambda t, left=left: left if t >= 6 else left | True)
        _run(network, [4, 4])
        assert (4 not in network.seen) == skips


def test_a_face_that_hardly_shows_is_seen_in_every_frame() -> None:
    network = _Network(_moving(0), lambda t: np.arange(len(POINTS)) < 10)
    _run(network, [4, 8])
    assert network.seen == list(range(12))


def test_a_window_that_moves_is_no_motion_of_the_face() -> None:
    windows = [WINDOW, Window(60, 0, 256)]
    shift = np.array([60 - WINDOW.left, 0 - WINDOW.top])
    network = _Network(lambda t: POINTS - (shift if t >= 4 else 0))
    tracks, _ = _run(network, [4, 4], lambda i: windows[i])
    assert network.seen == [0, 1, 2, 3, 5, 7]
    np.testing.assert_allclose(tracks[:, 4], POINTS - shift)


@pytest.mark.parametrize("count", range(1, 9))
def test_the_last_frame_is_a_key_frame(count: int) -> None:
    keys = key_frames(count)
    assert keys[-1] == count - 1
    assert (np.diff(keys, prepend=-1) <= 2).all()


def test_tapir_tracks_a_calm_face_as_if_it_saw_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    skimage = pytest.importorskip("skimage.data")
    photo = np.ascontiguousarray(skimage.astronaut()[:300, 60:460])
    rows, columns = np.mgrid[80:180:7j, 130:200:7j]
    points = np.stack([columns.ravel(), rows.ravel()], -1).astype(np.float32)
    size = photo.shape[1::-1]
    moves = [np.float32([[1, 0, 4 * np.sin(t / 5)], [0, 1, 0.2 * t]]) for t in range(25)]
    frames = [cv2.warpAffine(photo, m, size, borderMode=cv2.BORDER_REPLICATE) for m in moves]
    path = path_of(BUNDLED["tapir-s"])
    tapir = TAPIR.from_checkpoint(path)
    seen = []
    stepped = TAPIR.step
    monkeypatch.setattr(
        TAPIR, "step", lambda self, s, crops: seen.append(len(crops)) or stepped(self, s, crops)
    )
    found, counts = [], []
    for skip in (True, False):
        tracker = TapirTracker(tapir, True, path, skip=skip)
        seen.clear()
        state = tracker.start(frames[0], points)
        found.append(tracker.step(state, np.stack(frames)))
        counts.append(sum(seen))
    assert counts[1] == 25
    assert counts[0] <= 18
    np.testing.assert_array_equal(found[0].visible, found[1].visible)
    truth = np.stack([points + m[:, 2] for m in moves])
    errors = [np.linalg.norm(result.xy - truth, axis=-1).mean() for result in found]
    assert errors[0] < 1.1 * errors[1]
