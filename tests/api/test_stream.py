"""Tracking frame by frame, also in an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import clips
import numpy as np
import pytest

import facetrack
from facetrack.tracks import Tracks

SETTINGS = {"points": np.array([[0.0, 0.0], [7.0, 7.0]]), "tracker": "lk", "fps": 25}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.stack([clips.draw_square(index) for index in range(12)])


async def arriving(frames: np.ndarray) -> AsyncIterator[np.ndarray]:
    for frame in frames:
        await asyncio.sleep(0)
        yield frame


def test_frames_come_in_order_with_their_images(frames: np.ndarray) -> None:
    found = list(facetrack.stream(frames, **SETTINGS))
    assert [f.index for f in found] == list(range(12))
    assert [f.time for f in found] == pytest.approx(np.arange(12) / 25)
    for frame in found:
        assert (len(frame.tracks), frame.tracks.first_frame) == (1, frame.index)
        np.testing.assert_array_equal(frame.image, frames[frame.index])
    assert (found[3].draw() != frames[3]).any()
    whole = facetrack.track(frames, **SETTINGS)
    np.testing.assert_array_equal(np.concatenate([f.tracks.xy for f in found]), whole.xy)


def test_drawing_into_an_image_leaves_the_user_s_frames_alone(frames: np.ndarray) -> None:
    for source in (frames.copy(), list(frames.copy())):
        for found in facetrack.stream(source, **SETTINGS):
            found.image[:] = 0
        np.testing.assert_array_equal(np.asarray(source), frames)


def test_frames_are_equal_if_all_values_are(frames: np.ndarray) -> None:
    first, other = (list(facetrack.stream(frames, **SETTINGS)) for _ in range(2))
    assert first == other
    assert first[0] != first[1]
    assert first[0] != 3


def test_a_file_gives_the_rows_of_track(dots: Path) -> None:
    settings = {**SETTINGS, "fps": None, "query_frame": 5}
    found = Tracks.concat(frame.tracks for frame in facetrack.stream(dots, **settings))
    np.testing.assert_array_equal(found.xy, facetrack.track(dots, **settings).xy)


def test_an_endless_iterable_is_read_as_it_comes(frames: np.ndarray) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield frames[len(taken) % 12]

    for frame in facetrack.stream(endless(), **SETTINGS):
        if frame.index == 3:
            break
    assert len(taken) <= 5


def test_a_wrong_keyword_is_said_at_once(frames: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"stream\(\) has no keyword 'trackr'"):
        facetrack.stream(frames, trackr="lk")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"track_async\(\) has no keyword"):
        facetrack.track_async(frames, trackr="lk")  # type: ignore[call-arg]


def test_the_loop_goes_on_while_a_video_is_tracked(frames: np.ndarray) -> None:
    async def main() -> tuple[Tracks, int, set[str]]:
        ticks, names = 0, set()
        task = asyncio.ensure_future(
            facetrack.track_async(
                frames, progress=lambda *_: names.add(threading.current_thread().name), **SETTINGS
            )
        )
        while not task.done():
            ticks += 1
            await asyncio.sleep(0)
        return task.result(), ticks, names

    tracks, ticks, names = asyncio.run(main())
    np.testing.assert_array_equal(tracks.xy, facetrack.track(frames, **SETTINGS).xy)
    assert ticks > 5
    assert threading.current_thread().name not in names


def test_frames_may_come_asynchronously(frames: np.ndarray) -> None:
    async def main() -> tuple[list[int], Tracks]:
        streamed = facetrack.stream_async(arriving(frames), **SETTINGS)
        indices = [frame.index async for frame in streamed]
        return indices, await facetrack.track_async(arriving(frames), **SETTINGS)

    indices, tracks = asyncio.run(main())
    assert indices == list(range(12))
    np.testing.assert_array_equal(tracks.xy, facetrack.track(frames, **SETTINGS).xy)


def test_a_stream_can_be_left_while_it_waits_for_a_frame(frames: np.ndarray) -> None:
    async def stuck() -> AsyncIterator[np.ndarray]:
        for frame in frames[:3]:
            yield frame
        await asyncio.Event().wait()

    async def main() -> list[int]:
        found = []

        async def consume() -> None:
            async for frame in facetrack.stream_async(stuck(), **SETTINGS):
                found.append(frame.index)

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(consume(), 1)
        return found

    before = threading.active_count()
    assert asyncio.run(main()) == [0, 1, 2]
    for thread in threading.enumerate():
        if thread.name.startswith("facetrack"):
            thread.join(10)
    assert threading.active_count() <= before


def test_errors_reach_the_loop(tmp_path: Path) -> None:
    with pytest.raises(facetrack.FacetrackError, match="does not exist"):
        asyncio.run(facetrack.track_async(tmp_path / "none.mp4"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_frames_of_a_live_source_are_not_kept(tmp_path: Path) -> None:
    clip, pipe = clips.write_clip(tmp_path / "clip.mkv", 40), tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()), daemon=True).start()
    images, alive = [], []
    for frame in facetrack.stream(str(pipe), points=SETTINGS["points"], tracker="lk"):
        images.append(weakref.ref(frame.image))
        alive.append(sum(image() is not None for image in images))
    assert len(images) == 40
    # Those of this chunk and of the one before, which the tracker compares it with.
    assert max(alive) <= 10
