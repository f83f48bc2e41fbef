"""Work in several threads at once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch

from facetrack.runtime.thread_map import each


@pytest.fixture
def threads():
    """Has PyTorch use so many threads until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _meet(count):
    """Work that ends once it is under way `count` times at once, and says who did it with how many
    threads of its own."""
    met = threading.Barrier(count)

    def work(item):
        met.wait(timeout=20)
        return item, threading.get_ident(), torch.get_num_threads()

    return work


@pytest.mark.parametrize(("have", "items", "share"), [(2, 2, 1), (4, 2, 2), (4, 3, 1), (3, 3, 1)])
def test_items_are_worked_on_at_once_and_share_the_threads(threads, have, items, share):
    threads(have)
    answers = each(_meet(items), range(items))
    assert [item for item, *_ in answers] == list(range(items))
    assert len({who for _, who, _ in answers}) == items
    assert {count for *_, count in answers} == {share}
    assert torch.get_num_threads() == have


def test_what_is_left_over_has_all_threads(threads):
    threads(2)
    used = each(lambda item: (item, torch.get_num_threads()), [0, 1, 2])
    assert used == [(0, 1), (1, 1), (2, 2)]


@pytest.mark.parametrize(("have", "items"), [(1, 3), (4, 1), (4, 0)])
def test_nothing_to_share_stays_in_its_thread(threads, have, items):
    threads(have)
    here = threading.get_ident(), have
    assert each(lambda _: (threading.get_ident(), torch.get_num_threads()), range(items)) == (
        [here] * items
    )


def test_an_error_is_raised_when_all_has_ended_and_threads_are_as_before(threads):
    threads(2)
    ended = []

    def work(item):
        if item == 0:
            raise ValueError("no")
        ended.append(item)

    with pytest.raises(ValueError, match="no"):
        each(work, [0, 1])
    assert ended == [1]
    assert torch.get_num_threads() == 2


def test_threads_that_come_later_have_their_full_number(threads):
    threads(2)
    each(_meet(2), [0, 1])
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_threads_of_its_own(threads):
    threads(2)
    each(_meet(2), [0, 1])
    child = os.fork()
    if not child:
        os._exit(0 if len(each(_meet(2), [0, 1])) == 2 else 1)
    until = time.monotonic() + 30
    ended, status = 0, -1
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (ended, status) == (child, 0)
