"""Test parallel work in threads."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch

from facetrack.runtime.thread_map import thread_map


@pytest.fixture
def threads():
    """Return a setter of PyTorch's thread count that is undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _meeting_task(count):
    """Return a task that ends once it runs `count` times in parallel.

    It returns the item, the thread's identifier and that thread's number of PyTorch threads.
    """
    barrier = threading.Barrier(count)

    def work(item):
        barrier.wait(timeout=20)
        return item, threading.get_ident(), torch.get_num_threads()

    return work


@pytest.mark.parametrize(("total", "items", "share"), [(2, 2, 1), (4, 2, 2), (4, 3, 1), (3, 3, 1)])
def test_items_run_in_parallel_and_share_the_threads(threads, total, items, share):
    threads(total)
    results = thread_map(_meeting_task(items), range(items))
    assert [item for item, *_ in results] == list(range(items))
    assert len({thread for _, thread, _ in results}) == items
    assert {count for *_, count in results} == {share}
    assert torch.get_num_threads() == total


def test_a_single_remaining_item_gets_all_threads(threads):
    threads(2)
    used = thread_map(lambda item: (item, torch.get_num_threads()), [0, 1, 2])
    assert used == [(0, 1), (1, 1), (2, 2)]


@pytest.mark.parametrize(("total", "items"), [(1, 3), (4, 1), (4, 0)])
def test_a_single_item_or_thread_needs_no_pool(threads, total, items):
    threads(total)
    expected = threading.get_ident(), total
    assert thread_map(lambda _: (threading.get_ident(), torch.get_num_threads()), range(items)) == (
        [expected] * items
    )


def test_an_error_is_raised_after_all_tasks_ended_and_the_thread_count_is_restored(threads):
    threads(2)
    ended = []

    def work(item):
        if item == 0:
            raise ValueError("no")
        ended.append(item)

    with pytest.raises(ValueError, match="no"):
        thread_map(work, [0, 1])
    assert ended == [1]
    assert torch.get_num_threads() == 2


def test_later_threads_get_the_full_thread_count(threads):
    threads(2)
    thread_map(_meeting_task(2), [0, 1])
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_gets_its_own_pool(threads):
    threads(2)
    thread_map(_meeting_task(2), [0, 1])
    child = os.fork()
    if not child:
        os._exit(0 if len(thread_map(_meeting_task(2), [0, 1])) == 2 else 1)
    deadline = time.monotonic() + 30
    ended, status = 0, -1
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (ended, status) == (child, 0)
