"""Stretches for the tracker: every frame is answered once, and none goes over a cut."""

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
from facetrack.pipeline.chunking import CHUNK, CHUNK_BYTES, SEARCH_STRIDE, Chunker, frames_at_once
from facetrack.video.frame import Frame

Window = tuple[int, int] | None
BLANK = np.zeros((1, 1, 3), np.uint8)


@dataclass
class FakeScene:
    """Remembers what it is told; `searches` says before which stretches there is no face."""

    searches: Callable[[int], bool] = lambda stretches: False
    told: list[tuple[str, list[int]]] = field(default_factory=list)
    stretches: list[Clip] = field(default_factory=list)
    searched: list[bool] = field(default_factory=list)

    @property
    def searching(self) -> bool:
        return self.searches(len(self.stretches))

    def cut(self, frame: Frame) -> None:
        self.told.append(("cut", [frame.index]))

    def advance(self, stretch: Clip) -> None:
        self.told.append(("stretch", [f.index for f in stretch.new]))
        self.searched.append(self.searching)
        self.stretches.append(stretch)


class FakeCuts:
    """Cuts before the frames of the given numbers, told by how often it was asked."""

    def __init__(self, cuts: set[int]) -> None:
        self._cuts, self._asked = cuts, -1

    def is_cut(self, image: np.ndarray) -> bool:
        self._asked += 1
        return self._asked in self._cuts


def frames(count: int) -> Iterator[Frame]:
    return (Frame(i, i / 25, BLANK) for i in range(count))


def run(
    count: int,
    cuts: set[int] | None = None,
    window: Window = None,
    searches: Callable[[int], bool] = lambda stretches: False,
) -> FakeScene:
    """What a scene is told of `count` frames."""
    scene = FakeScene(searches)
    finder = None if cuts is None else FakeCuts(cuts)
    made = list(step_through(Chunker(scene, finder, window), frames(count)))
    assert made == scene.stretches
    return scene


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


def any_run(count: int, cuts: set[int], window: Window, pattern: list[bool]) -> FakeScene:
    return run(count, cuts, window, lambda done: pattern[done % len(pattern)])


@given(**cases)
def test_every_frame_is_new_once_and_in_order(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    scene = any_run(count, cuts, window, pattern)
    assert [n for stretch in scene.stretches for n in numbers(stretch.new)] == list(range(count))


@given(**cases)
def test_every_new_frame_has_an_empty_row_of_its_own(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for stretch in any_run(count, cuts, window, pattern).stretches:
        assert stretch.rows == [{} for _ in stretch.new]
        assert len({id(row) for row in stretch.rows}) == len(stretch.rows)


@given(**cases)
def test_the_new_frames_lie_where_the_stretch_says(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for stretch in any_run(count, cuts, window, pattern).stretches:
        assert stretch.frames[stretch.before :][: len(stretch.new)] == stretch.new
        assert stretch.new


@given(**cases)
def test_frames_of_a_stretch_follow_one_another(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for stretch in any_run(count, cuts, window, pattern).stretches:
        first = stretch.frames[0].index
        assert numbers(stretch.frames) == list(range(first, first + len(stretch.frames)))


@given(**cases)
def test_no_stretch_goes_over_a_cut(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    for stretch in any_run(count, cuts, window, pattern).stretches:
        assert not cuts & set(numbers(stretch.frames)[1:])


@given(**cases)
def test_a_cut_is_told_after_the_frames_before_it_and_before_its_own(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    scene = any_run(count, cuts, window, pattern)
    told = [n for kind, those in scene.told for n in (those if kind == "stretch" else [-1])]
    wanted = [n for i in range(count) for n in ([-1, i] if i in cuts else [i])]
    assert told == wanted
    assert [those for kind, those in scene.told if kind == "cut"] == [
        [cut] for cut in sorted(cuts) if cut < count
    ]


@given(**cases)
def test_no_stretch_is_longer_than_the_tracker_likes(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    longest = max(CHUNK if window is None else window[0], SEARCH_STRIDE)
    for stretch in any_run(count, cuts, window, pattern).stretches:
        assert len(stretch.frames) <= longest


@given(**cases)
def test_no_more_frames_wait_than_one_stretch_has(
    count: int, cuts: set[int], window: Window, pattern: list[bool]
) -> None:
    scene = FakeScene(lambda done: pattern[done % len(pattern)])
    stretches = Chunker(scene, FakeCuts(cuts), window)
    longest = max(CHUNK if window is None else window[0], SEARCH_STRIDE)
    for frame in frames(count):
        list(stretches.advance(frame))
        assert stretches.done <= len(stretches.waiting) <= longest


@given(
    count=st.integers(1, 80),
    window=st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
)
def test_stretches_overlap_as_the_tracker_wants_and_join_in_the_middle(
    count: int, window: tuple[int, int]
) -> None:
    length, overlap = window
    stretches = run(count, set(), window).stretches
    for stretch in stretches[:-1]:
        assert len(stretch.frames) == length
    for before, after in itertools.pairwise(stretches):
        shared = numbers(before.frames)[length - overlap :]
        assert numbers(after.frames)[:overlap] == shared
        # The later answers the second half of what both have seen.
        assert numbers(before.new)[-1:] + numbers(after.new)[:1] == [
            after.frames[0].index + after.before - 1,
            after.frames[0].index + after.before,
        ]
        assert after.before == overlap - overlap // 2


def test_a_causal_tracker_gets_chunks_after_a_first_frame_by_itself() -> None:
    stretches = run(2 * CHUNK + 3).stretches
    assert [len(s.frames) for s in stretches] == [1, CHUNK - 1, CHUNK, 3]
    assert [s.before for s in stretches] == [0, 0, 0, 0]


def test_the_frames_before_a_cut_do_not_wait_for_more() -> None:
    scene = run(8, {3}, (8, 4))
    assert scene.told == [("stretch", [0, 1, 2]), ("cut", [3]), ("stretch", [3, 4, 5, 6, 7])]


def test_nothing_of_the_shot_before_is_seen_after_a_cut() -> None:
    scene = run(14, {10}, (8, 4))
    assert [numbers(s.frames) for s in scene.stretches] == [
        list(range(8)),
        [4, 5, 6, 7, 8, 9],
        [10, 11, 12, 13],
    ]
    assert [s.before for s in scene.stretches] == [0, 2, 0]


def test_a_cut_before_the_first_frame_is_told() -> None:
    assert run(2, {0}).told == [("cut", [0]), ("stretch", [0]), ("stretch", [1])]


def test_stretches_are_short_while_there_is_no_face() -> None:
    scene = run(2 * SEARCH_STRIDE + 1, searches=lambda done: True)
    assert [len(s.new) for s in scene.stretches] == [SEARCH_STRIDE, SEARCH_STRIDE, 1]


def test_the_first_frame_of_a_shot_without_a_face_is_looked_at_at_once() -> None:
    cut = 7
    scene = run(cut + 1 + SEARCH_STRIDE, {cut}, searches=lambda done: True)
    told = scene.told[scene.told.index(("cut", [cut])) + 1 :]
    assert told == [
        ("stretch", [cut]),
        ("stretch", list(range(cut + 1, cut + 1 + SEARCH_STRIDE))),
    ]


@pytest.mark.parametrize("window", [None, (20, 6)])
def test_a_search_does_not_wait_for_a_whole_stretch_once_the_face_is_lost(window: Window) -> None:
    length = CHUNK if window is None else window[0]
    scene = run(length + SEARCH_STRIDE, window=window, searches=lambda done: done > 0)
    lost = scene.stretches[0].new[-1].index
    assert scene.stretches[1].new[-1].index <= max(lost + SEARCH_STRIDE, length)


def test_cuts_do_not_matter_where_nobody_looks_for_them() -> None:
    assert [len(s.new) for s in run(CHUNK).stretches] == [1, CHUNK - 1]


def test_nothing_comes_of_nothing() -> None:
    assert run(0, {0}).told == []


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(640, 360, CHUNK), (3840, 2160, CHUNK), (7680, 4320, 2), (15360, 8640, 1)],
)
def test_huge_frames_are_handed_on_a_few_at_a_time(width: int, height: int, count: int) -> None:
    image = np.broadcast_to(np.uint8(0), (height, width, 3))  # takes no memory
    assert frames_at_once(Frame(0, 0.0, image)) == count
    assert count == 1 or count * image.nbytes <= CHUNK_BYTES
