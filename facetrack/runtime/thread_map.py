"""Pieces of work that do not know of each other, each in a thread of its own.

A small network's layers are so short that the threads which share one wait for each other a third
of the time; those that have a face each do not.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def each(do: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """`do` of every item, in their order: as many at once as PyTorch has threads, which they share.

    Raises:
        Exception: what `do` raised for the first item that it could not be done for, once nothing
            is under way any more.
    """
    threads = torch.get_num_threads()
    answers: list[Answer] = []
    for start in range(0, len(items), threads):
        some = items[start : start + threads]
        answers += _at_once(do, some, threads) if len(some) > 1 else [do(some[0])]
    return answers


def _at_once(do: Callable[[Item], Answer], items: Sequence[Item], threads: int) -> list[Answer]:
    def one(item: Item) -> Answer:
        torch.set_num_threads(threads // len(items))  # of this thread's own work
        return do(item)

    pool = _pool(threads)
    waiting = [pool.submit(one, item) for item in items]
    try:
        wait(waiting)
    finally:
        # What any thread sets is also what those begin with that have not used PyTorch yet.
        torch.set_num_threads(threads)
    return [answer.result() for answer in waiting]


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="abreast")


if hasattr(os, "register_at_fork"):  # not on Windows
    # Threads do not come along into a forked process, which would wait for them for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
