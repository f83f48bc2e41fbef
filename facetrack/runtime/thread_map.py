"""Run independent tasks in a thread pool.

The layers of a small network are so short that threads which share a layer wait for each other a
third of the time. Threads that each process a face of their own do not.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_map(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply `function` to every item in parallel and return the results in order.

    As many items run at once as PyTorch has threads; they share these threads.

    Raises:
        Exception: the exception of the first item that failed, once no task is running any more.
    """
    threads = torch.get_num_threads()
    results: list[Result] = []
    for start in range(0, len(items), threads):
        batch = items[start : start + threads]
        if len(batch) > 1:
            results += _run_batch(function, batch, threads)
        else:
            results.append(function(batch[0]))
    return results


def _run_batch(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    def run(item: Item) -> Result:
        torch.set_num_threads(threads // len(items))  # applies to this thread only
        return function(item)

    pool = _pool(threads)
    futures = [pool.submit(run, item) for item in items]
    try:
        wait(futures)
    finally:
        # The last value set in any thread is also the initial value of threads that have not used
        # PyTorch yet.
        torch.set_num_threads(threads)
    return [future.result() for future in futures]


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="thread_map")


if hasattr(os, "register_at_fork"):  # not on Windows
    # A forked process does not inherit the threads, and would wait for them forever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
