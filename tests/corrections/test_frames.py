"""Frames in any order, each decoded as seldom as memory allows."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import clips
import numpy as np
import pytest

from facetrack.corrections import frames as module
from facetrack.corrections.frames import BLOCK_FRAMES, FrameStore
from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

COUNT = 130


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("clip") / "dots.mp4", COUNT)


def tracks_of(frames: range = range(COUNT)) -> Tracks:
    shape = (len(frames), 1, 1)
    return Tracks(
        xy=np.zeros((*shape, 2), np.float32),
        visible=np.ones(shape, bool),
        confidence=np.ones(shape, np.float32),
        time=np.array(frames) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="points-1",
        size=clips.SIZE,
        first_frame=frames.start,
        stride=frames.step,
    )


def is_frame(frame, index: int) -> bool:
    place = clips.square_position(frame.image)
    return frame.index == index and place == clips.expected_position(index)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """First and last frame of each time that the file was read."""
    found: list[tuple[int, int]] = []
    real = module.VideoReader

    def reader(video, *, first, last, **options):
        found.append((first, last))
        return real(video, first=first, last=last, **options)

    monkeypatch.setattr(module, "VideoReader", reader)
    return found


def test_frames_in_any_order(clip: Path) -> None:
    store = FrameStore(clip, tracks_of())
    for index in (77, 3, COUNT - 1, 4, 0, 77):
        assert is_frame(store.frame(index), index)


def test_a_frame_that_is_known_is_not_decoded_again(clip: Path, reads: list) -> None:
    store = FrameStore(clip, tracks_of())
    for _ in range(3):
        store.frame(50)
    assert reads == [(50, 50)]


@pytest.mark.parametrize("start", [0, 60, COUNT - 1])
def test_forwards_is_one_reading(start: int, clip: Path, reads: list) -> None:
    found = list(FrameStore(clip, tracks_of()).run(start, 1))
    assert [frame.index for frame in found] == list(range(start, COUNT))
    assert all(is_frame(frame, frame.index) for frame in found)
    assert len(reads) == 1


@pytest.mark.parametrize("start", [0, 60, COUNT - 1])
def test_backwards_is_one_reading_a_block(start: int, clip: Path, reads: list) -> None:
    found = list(FrameStore(clip, tracks_of()).run(start, -1))
    assert [frame.index for frame in found] == list(range(start, -1, -1))
    assert all(is_frame(frame, frame.index) for frame in found)
    assert len(reads) == -(-(start + 1) // BLOCK_FRAMES)


def test_both_directions_share_what_is_decoded(clip: Path, reads: list) -> None:
    store = FrameStore(clip, tracks_of())
    list(store.run(0, 1))
    assert [frame.index for frame in store.run(COUNT - 1, -1)] == list(range(COUNT - 1, -1, -1))
    assert [frame.index for frame in store.run(100, 1)] == list(range(100, COUNT))
    assert len(reads) == 1


@pytest.mark.parametrize("direction", [1, -1])
def test_memory_is_bounded(direction: int, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    store = FrameStore(clip, tracks_of())
    start = 0 if direction > 0 else COUNT - 1
    found = [is_frame(frame, frame.index) for frame in store.run(start, direction)]
    assert found == [True] * COUNT
    assert len(store._cache) == 16


def test_of_a_part_with_a_stride_only_the_tracked_frames_are_read(clip: Path) -> None:
    store = FrameStore(clip, tracks_of(range(20, 101, 5)))
    assert [frame.index for frame in store.run(40, 1)] == list(range(40, 101, 5))
    assert [frame.index for frame in store.run(40, -1)] == [40, 35, 30, 25, 20]
    assert is_frame(store.frame(95), 95)
    for index in (19, 21, 0, 105, COUNT):
        with pytest.raises(FacetrackError, match=f"Frame {index} is not among those tracked"):
            store.frame(index)


def test_tracks_of_another_video_are_refused(clip: Path) -> None:
    with pytest.raises(FacetrackError, match=r"frames of 96x64, and the tracks are of .* 640x480"):
        FrameStore(clip, replace(tracks_of(), size=(640, 480)))
    FrameStore(clip, replace(tracks_of(), size=(0, 0)))


def test_threads_read_at_once(clip: Path) -> None:
    store, wrong = FrameStore(clip, tracks_of()), []

    def read(seed: int) -> None:
        for index in np.random.default_rng(seed).integers(0, COUNT, 6).tolist():
            if not is_frame(store.frame(index), index):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_video_that_is_shorter_than_its_tracks_is_named(clip: Path) -> None:
    store = FrameStore(clip, tracks_of(range(COUNT + 40)))
    with pytest.raises(FacetrackError, match=f"has no frame {COUNT + 10}"):
        next(store.run(COUNT + 10, -1))
    with pytest.raises(FacetrackError, match=f"has no frame {COUNT + 10}"):
        next(store.run(COUNT + 10, 1))
