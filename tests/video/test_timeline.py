"""Test that times which do not rise are repaired, and that good times stay as they are."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facetrack.video.timeline import LOOKAHEAD, Fault, Mark, Moment, Timeline

STEP = 1 / 30
GOOD = [1.5 + i * STEP for i in range(30)]
HOURS = 11885.0


def repaired(
    times: list[float | None], duration: float | None = STEP, lookahead: int = LOOKAHEAD
) -> tuple[list[Moment], list[Fault]]:
    """Return the moments of all frames, and the faults."""
    timeline = Timeline(lookahead=lookahead)
    moments = [m for i, t in enumerate(times) for m in timeline.push(Mark(i, t, duration))]
    moments += timeline.close()
    assert [moment.frame for moment in moments] == list(range(len(times)))
    assert timeline.num_faults == len(timeline.faults)
    return moments, timeline.faults


def changed(*changes: tuple[int, float]) -> list[float | None]:
    times: list[float | None] = list(GOOD)
    for index, time in changes:
        times[index] = time
    return times


@pytest.mark.parametrize(
    "times",
    [
        GOOD,
        [0.0],
        [5.0, 5.1],
        [n * n * 0.007 for n in range(20)],
        [0.0, 0.1, 5.0, 5.1, 65.0, 65.1, 400.0],
        [-1.5, -1.4, 0.0],
        GOOD[:10] + [time + 3 * 3600 for time in GOOD[10:]],
        [*GOOD[:10], GOOD[10] + 300],
        [0.0, 500.0, 500.1],
    ],
    ids=["25/s", "one", "two", "varying", "slides", "negative", "pause", "last", "first"],
)
def test_good_times_and_pauses_stay_to_the_last_bit(times: list[float]) -> None:
    for duration in (STEP, None):
        moments, faults = repaired(list(times), duration)
        assert [moment.time for moment in moments] == times
        assert all(moment.is_original for moment in moments)
        assert faults == []


@pytest.mark.parametrize(
    "wrong",
    [
        [(11, HOURS)],
        [(11, HOURS), (12, HOURS + STEP)],
        [(11, HOURS), (17, HOURS + 6 * STEP)],
        [(5, -HOURS)],
        [(5, GOOD[4])],
        [(5, GOOD[5] + 0.3)],
        [(5, GOOD[5] + 20), (6, GOOD[6] + 20)],
        [(0, HOURS)],
        [(0, -HOURS)],
        [(0, HOURS), (1, HOURS + STEP)],
        [(29, HOURS)],
        [(28, HOURS), (29, HOURS + STEP)],
        [(29, 0.0)],
        [(i, 0.0) for i in range(10, 15)],
    ],
    ids=str,
)
def test_wrong_times_of_a_few_frames_are_estimated(wrong: list[tuple[int, float]]) -> None:
    moments, faults = repaired(changed(*wrong))
    assert [moment.time for moment in moments] == pytest.approx(GOOD)
    indices = [index for index, _ in wrong]
    assert [fault.index for fault in faults] == indices
    assert [fault.stated for fault in faults] == [time for _, time in wrong]
    assert not any(fault.restart for fault in faults)
    assert [m.frame for m in moments if not m.is_original] == indices


@pytest.mark.parametrize("start", [1.5, 0.0, -95443.7, 2.2])
def test_a_clock_that_starts_again_goes_on(start: float) -> None:
    times: list[float | None] = [*GOOD, *(start + i * STEP for i in range(40))]
    moments, faults = repaired(times)
    assert [moment.time for moment in moments] == pytest.approx([1.5 + i * STEP for i in range(70)])
    assert [(fault.index, fault.restart) for fault in faults] == [(30, True)]
    assert faults[0].previous == GOOD[-1]


def test_a_clock_that_starts_again_shortly_before_the_end_goes_on() -> None:
    moments, faults = repaired([*GOOD, *GOOD[:3]])
    assert [moment.time for moment in moments] == pytest.approx([1.5 + i * STEP for i in range(33)])
    assert faults[0].index == 30


def test_every_part_of_several_is_moved_on() -> None:
    moments, faults = repaired([*GOOD, *GOOD, *GOOD])
    assert [moment.time for moment in moments] == pytest.approx([1.5 + i * STEP for i in range(90)])
    assert [fault.index for fault in faults] == [30, 60]


def test_doubled_times_are_spread() -> None:
    moments, _ = repaired([time for time in GOOD for _ in (0, 1)])
    times = [moment.time for moment in moments]
    assert times[:-1:2] == GOOD  # the first of each pair keeps its time
    assert [b - a for a, b in pairwise(times)] == pytest.approx([STEP / 2] * 59)


def test_missing_times_are_estimated_from_both_sides() -> None:
    times: list[float | None] = [None, None, *GOOD[2:10], None, None, *GOOD[12:]]
    moments, faults = repaired(times)
    assert [moment.time for moment in moments] == pytest.approx(GOOD)
    assert faults == []


def test_without_any_time_frames_follow_the_rate_of_the_header() -> None:
    timeline = Timeline(step=0.1)
    for i in range(5):
        assert not list(timeline.push(Mark(i, None, None)))
    assert [moment.time for moment in timeline.close()] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_equal_times_become_regular() -> None:
    moments, faults = repaired([0.0] * 12)
    assert [moment.time for moment in moments] == pytest.approx([i * STEP for i in range(12)])
    assert [fault.index for fault in faults] == list(range(1, 12))


def test_a_frame_waits_for_one_other_only() -> None:
    timeline = Timeline()
    assert not list(timeline.push(Mark(0, 0.0, STEP)))
    assert not list(timeline.push(Mark(1, STEP, STEP)))
    assert [m.frame for m in timeline.push(Mark(2, 2 * STEP, STEP))] == [0, 1]
    for i in range(3, 10):
        assert [m.frame for m in timeline.push(Mark(i, i * STEP, STEP))] == [i - 1]


def test_few_frames_wait_near_a_wrong_time() -> None:
    timeline = Timeline()
    waiting = 0
    for i, time in enumerate(changed((11, HOURS), (20, 0.0))):
        waiting += 1 - len(list(timeline.push(Mark(i, time, STEP))))
        assert waiting <= LOOKAHEAD


TIMES = st.lists(st.none() | st.floats(-1e5, 1e5, allow_nan=False), max_size=40)


@given(TIMES, st.sampled_from([None, STEP]), st.integers(2, LOOKAHEAD))
@example([-1e-300, 0.0, None, 0.0], STEP, 2)  # steps that vanish
@example([4.0, 5.0, None, math.nextafter(5.0, 6.0)], STEP, 4)  # no room between two times
@example([None, 1e-300, 0.5], 1e-300, 2)
def test_times_rise_whatever_the_container_says(
    times: list[float | None], duration: float | None, lookahead: int
) -> None:
    moments, _ = repaired(times, duration, lookahead)
    assert all(a.time < b.time for a, b in pairwise(moments))


@given(st.lists(st.floats(0.001, 500), max_size=40), st.floats(-1e3, 1e5))
def test_rising_times_stay(steps: list[float], start: float) -> None:
    times: list[float | None] = [start]
    for step in steps:
        times.append((times[-1] or 0.0) + step)
    moments, faults = repaired(times, None)
    assert [moment.time for moment in moments] == times
    assert faults == []
