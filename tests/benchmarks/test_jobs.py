"""The extrapolation of a batch's speed to machines with more cores."""

from __future__ import annotations

import pytest

from benchmarks.speed.jobs import contention, extrapolate


def test_jobs_that_do_not_wait_for_each_other_scale_with_the_cores() -> None:
    assert contention(20.0, 40.0, 2) == 0
    assert extrapolate(20.0, 0.0, 64) == 1280


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_the_measured_machine_is_met(cores: int) -> None:
    share = contention(20.0, 0.8 * 20 * cores, cores)
    assert 0 < share < 1
    assert extrapolate(20.0, share, cores) == pytest.approx(0.8 * 20 * cores)


def test_a_share_of_work_in_turn_limits_the_speed() -> None:
    assert extrapolate(20.0, 0.1, 10**6) == pytest.approx(200, rel=1e-3)
