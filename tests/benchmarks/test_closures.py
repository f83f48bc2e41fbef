"""Closures of eyes: which are found, how deep they are, and when."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common import closures

OPEN = 0.1


def lids(frames: int, *dips: tuple[int, float]) -> np.ndarray:
    """Openings (T,) of eyes that shut to a share for three frames around each of the dips."""
    openings = np.full(frames, OPEN)
    for frame, share in dips:
        openings[frame - 1 : frame + 2] = OPEN * (1 + share) / 2
        openings[frame] = OPEN * share
    return openings


def test_a_closure_is_found_where_it_was_seen():
    found = closures.measure_closures(lids(100, (30, 0.1), (60, 0.7)), None, [30, 60], 4.0)
    assert found.found == 1
    assert found.depths == pytest.approx([0.1, 0.7])
    assert found.delays.tolist() == [0]
    assert found.false_dips == 0


@pytest.mark.parametrize(("late", "found"), [(0, 1), (-3, 1), (3, 1), (6, 0)])
def test_a_closure_may_come_a_little_late(late, found):
    answer = closures.measure_closures(lids(100, (50 + late, 0.1)), None, [50], 4.0)
    assert answer.found == found
    if found:
        assert answer.delays.tolist() == [late]


def test_a_dip_that_nobody_saw_is_false_unless_the_mesh_has_it():
    openings = lids(200, (50, 0.1), (120, 0.3))
    alone = closures.measure_closures(openings, lids(200, (50, 0.1)), [50], 8.0)
    assert alone.false_dips == 1
    with_mesh = closures.measure_closures(openings, lids(200, (50, 0.1), (121, 0.5)), [50], 8.0)
    assert with_mesh.false_dips == 0
    assert "7.5" in alone.row()


def test_frames_without_a_face_are_no_closures():
    openings = lids(100, (50, 0.1))
    openings[40:60] = np.nan
    assert closures.measure_closures(openings, None, [50], 4.0).depths.tolist() == [1.0]


def test_the_middle_of_a_long_closure_counts():
    openings = np.full(100, OPEN)
    openings[46:51] = 0.1 * OPEN
    assert closures.measure_closures(openings, None, [48], 4.0).delays.tolist() == [0]


def test_several_clips_as_one():
    one = closures.measure_closures(lids(100, (30, 0.1)), None, [30], 4.0)
    other = closures.measure_closures(lids(100, (31, 0.5), (70, 0.1)), None, [30], 6.0)
    both = closures.merge([one, other])
    assert both.row() == "2 of 2 | 1 | 0.30 | 0.5 | 6.0"


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_the_delay_against_the_mesh(late):
    random = np.random.default_rng(0)
    theirs = np.convolve(random.normal(size=200), np.ones(7), "same")
    ours = np.roll(theirs, late) * 0.5
    ours[20] = np.nan
    assert closures.estimate_delay(ours, theirs) == pytest.approx(late, abs=0.2)


def test_the_delay_of_constant_openings_is_unknown():
    assert np.isnan(closures.estimate_delay(np.full(50, OPEN), lids(50, (20, 0.1))))
