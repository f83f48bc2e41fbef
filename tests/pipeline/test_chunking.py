"""Clips for the tracker: each frame is new in exactly one, and none crosses a cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepping import step_through

from facetrack.multiface.clip import Clip
from facetrack.pipeline.chunking import (
    CHUNK_FRAMES,
    MAX_CHUNK_BYTES,
    SEARCH_STRIDE,
    Chunker,
    frames_at_once,
)
from facetrack.video.frame import Frame

Window = tuple[int, int] | None
BLANK = np.zeros((1, 1, 3), np.uint8)


@dataclass
class FakeFaceTracker:
    """Records its calls; `searches` tells from the number of clips so far if there is no face."""

    searches: Callable[[int], bool] = lambda num_clips: False
    calls: list[tuple[str, list[int]]] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    searched: list[bool] = field(default_factory=list)

    @property
    def searching(self) -> bool:
        return self.searches(len(self.clips))

    def cut(self, frame: Frame) -> None:
        self.calls.append(("cut", [frame.index]))

    def advance(self, clip: Clip) -> None:
        self.calls.append(("clip", [f.index for f in clip.new]))
        self.searched.append(self.searching)
        self.clips.append(clip)


class FakeCutDetector:
    """Reports a cut at the calls of the given numbers."""

    def __init__(self, cuts: set[int]) -> None:
        self._cuts, self._num_calls = cuts, -1

    def is_cut(self, image: np.ndarray) -> bool:
        self._num_calls += 1
        return self._num_calls in self._cuts


def frames(count: int) -> Iterator[Frame]:
    return (Frame(i, i / 25, BLANK) for i in range(count))


def run(
    count: int,
    cuts: set[int] | None = None,
    window: Window = None,
    searches: Callable[[int], bool] = lambda num_clips: False,
) -> FakeFaceTracker:
    """Return the face tracker after `count` frames."""
    face_tracker = FakeFaceTracker(searches)
    detector = None if cuts is None else FakeCutDetector(cuts)
    clips = list(step_through(Chunker(face_tracker, detector, window), frames(count)))
    assert clips == face_tracker.clips
    return face_tracker


def numbers(items: list[Frame]) -> list[int]:
    return [frame.index for frame in items]


windows = st.one_of(
    st.none(),
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
)
cases = {
    "count": st.integers(0, 60),
    "cuts": st.sets(st.integers(0, 60), max_size=8),
    "window": windows,
    "pattern": st.lists(st.booleans(), min_size=1, max_size=12),
}


def any_run(count: int, cuts: set[int], window: Window, pattern: list[bool]) -> FakeFaceTracker:
    return run(count, cuts, window, lambda done: pattern[done % len(pattern)])


@given(**cases)
def test_every_frame_is_new_once_and_in_order(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    face_tracker = any_run(count, cuts, window, pattern)
    assert [n for clip in face_tracker.clips for n in numbers(clip.new)] == list(range(count))


@given(**cases)
def test_every_new_frame_has_an_empty_row_of_its_own(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for clip in any_run(count, cuts, window, pattern).clips:
        assert clip.rows == [{} for _ in clip.new]
        assert len({id(row) for row in clip.rows}) == len(clip.rows)


@given(**cases)
def test_new_frames_lie_where_the_clip_says(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for clip in any_run(count, cuts, window, pattern).clips:
        assert clip.frames[clip.before :][: len(clip.new)] == clip.new
        assert clip.new


@given(**cases)
def test_frames_of_a_clip_are_consecutive(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for clip in any_run(count, cuts, window, pattern).clips:
        first = clip.frames[0].index
        assert numbers(clip.frames) == list(range(first, first + len(clip.frames)))


@given(**cases)
def test_no_clip_crosses_a_cut(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for clip in any_run(count, cuts, window, pattern).clips:
        assert not cuts & set(numbers(clip.frames)[1:])


@given(**cases)
def test_a_cut_is_reported_between_the_frames_before_and_after_it(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    face_tracker = any_run(count, cuts, window, pattern)
    calls = [n for kind, those in face_tracker.calls for n in (those if kind == "clip" else [-1])]
    wanted = [n for i in range(count) for n in ([-1, i] if i in cuts else [i])]
    assert calls == wanted
    assert [those for kind, those in face_tracker.calls if kind == "cut"] == [
        [cut] for cut in sorted(cuts) if cut < count
    ]


@given(**cases)
def test_no_clip_is_longer_than_the_window(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    longest = max(CHUNK_FRAMES if window is None else window[0], SEARCH_STRIDE)
    for clip in any_run(count, cuts, window, pattern).clips:
        assert len(clip.frames) <= longest


@given(**cases)
def test_no_more_frames_are_buffered_than_a_clip_has(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    face_tracker = FakeFaceTracker(lambda done: pattern[done % len(pattern)])
    chunker = Chunker(face_tracker, FakeCutDetector(cuts), window)
    longest = max(CHUNK_FRAMES if window is None else window[0], SEARCH_STRIDE)
    for frame in frames(count):
        list(chunker.advance(frame))
        assert chunker.buffer.num_done <= len(chunker.buffer.items) <= longest


@given(
    count=st.integers(1, 80),
    window=st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
)
def test_clips_overlap_and_join_in_the_middle_of_the_overlap(
    count: int, window: tuple[int, int]
) -> None:
    length, overlap = window
    clips = run(count, set(), window).clips
    for clip in clips[:-1]:
        assert len(clip.frames) == length
    for before, after in itertools.pairwise(clips):
        shared = numbers(before.frames)[length - overlap :]
        assert numbers(after.frames)[:overlap] == shared
        # The later clip answers the second half of the overlap.
        assert numbers(before.new)[-1:] + numbers(after.new)[:1] == [
            after.frames[0].index + after.before - 1,
            after.frames[0].index + after.before,
        ]
        assert after.before == overlap - overlap // 2


def test_a_causal_tracker_gets_the_first_frame_alone() -> None:
    clips = run(2 * CHUNK_FRAMES + 3).clips
    assert [len(s.frames) for s in clips] == [1, CHUNK_FRAMES - 1, CHUNK_FRAMES, 3]
    assert [s.before for s in clips] == [0, 0, 0, 0]


def test_frames_before_a_cut_are_flushed() -> None:
    face_tracker = run(8, {3}, (8, 4))
    assert face_tracker.calls == [("clip", [0, 1, 2]), ("cut", [3]), ("clip", [3, 4, 5, 6, 7])]


def test_clips_after_a_cut_repeat_no_frames_before_it() -> None:
    face_tracker = run(14, {10}, (8, 4))
    assert [numbers(s.frames) for s in face_tracker.clips] == [
        list(range(8)),
        [4, 5, 6, 7, 8, 9],
        [10, 11, 12, 13],
    ]
    assert [s.before for s in face_tracker.clips] == [0, 2, 0]


def test_a_cut_before_the_first_frame_is_reported() -> None:
    assert run(2, {0}).calls == [("cut", [0]), ("clip", [0]), ("clip", [1])]


def test_clips_are_short_while_there_is_no_face() -> None:
    face_tracker = run(2 * SEARCH_STRIDE + 1, searches=lambda done: True)
    assert [len(s.new) for s in face_tracker.clips] == [SEARCH_STRIDE, SEARCH_STRIDE, 1]


def test_the_first_frame_of_a_shot_without_a_face_is_searched_at_once() -> None:
    cut = 7
    face_tracker = run(cut + 1 + SEARCH_STRIDE, {cut}, searches=lambda done: True)
    calls = face_tracker.calls[face_tracker.calls.index(("cut", [cut])) + 1 :]
    assert calls == [
        ("clip", [cut]),
        ("clip", list(range(cut + 1, cut + 1 + SEARCH_STRIDE))),
    ]


@pytest.mark.parametrize("window", [None, (20, 6)])
def test_a_search_does_not_wait_for_a_whole_window_once_the_face_is_lost(window: Window) -> None:
    length = CHUNK_FRAMES if window is None else window[0]
    face_tracker = run(length + SEARCH_STRIDE, window=window, searches=lambda done: done > 0)
    lost = face_tracker.clips[0].new[-1].index
    assert face_tracker.clips[1].new[-1].index <= max(lost + SEARCH_STRIDE, length)


def test_cuts_are_ignored_without_a_detector() -> None:
    assert [len(s.new) for s in run(CHUNK_FRAMES).clips] == [1, CHUNK_FRAMES - 1]


def test_no_frames_give_no_clips() -> None:
    assert run(0, {0}).calls == []


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(640, 360, CHUNK_FRAMES), (3840, 2160, CHUNK_FRAMES), (7680, 4320, 2), (15360, 8640, 1)],
)
def test_huge_frames_come_a_few_at_a_time(width: int, height: int, count: int) -> None:
    image = np.broadcast_to(np.uint8(0), (height, width, 3))  # takes no memory
    assert frames_at_once(Frame(0, 0.0, image)) == count
    assert count == 1 or count * image.nbytes <= MAX_CHUNK_BYTES
