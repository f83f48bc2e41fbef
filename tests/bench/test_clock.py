"""Counting the time of calls."""

from __future__ import annotations

import pytest
import torch

from facetrack.bench.clock import Clock


class Worker:
    def work(self, what: int) -> int:
        return 2 * what


@pytest.fixture
def clock(monkeypatch) -> Clock:
    ticks = iter(range(100))
    monkeypatch.setattr("facetrack.bench.clock.time.perf_counter", lambda: next(ticks))
    return Clock(torch.device("cpu"))


def test_an_object_is_listened_to_and_left_as_it_was(clock):
    worker, other = Worker(), Worker()
    with clock.timing(worker, "work", "stage"):
        assert [worker.work(3), worker.work(4), other.work(5)] == [6, 8, 10]
    assert clock.seconds == {"stage": 2}
    assert vars(worker) == {}


def test_a_class_is_listened_to_and_left_as_it_was(clock):
    before = Worker.work
    with clock.timing(Worker, "work", "stage"):
        assert [Worker().work(3), Worker().work(4)] == [6, 8]
    assert clock.seconds == {"stage": 2}
    assert Worker.work is before


def test_calls_that_fail_count_as_well(clock):
    worker = Worker()
    with pytest.raises(TypeError), clock.timing(worker, "work", "stage"):
        worker.work(None)  # type: ignore[arg-type]
    assert clock.seconds == {"stage": 1}
