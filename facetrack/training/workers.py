"""The processes of a training on a CPU: they agree on numbers, and stop together."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessContext, ProcessException, spawn

from facetrack.errors import FacetrackError
from facetrack.runtime.interrupts import (
    StopState,
    defer_interrupts,
    interruptible,
    stop_signals,
)

TICK = 0.5
"""Seconds between two looks of the main process at whether it is asked to stop."""
PATIENCE = 1.0
"""Seconds after which a second request to stop ends a worker at once. The first may come twice,
from the terminal and from the main process."""
NOTE, ERROR = "note", "error"
"""Files in which workers tell the main process why they have ended."""


def run(work: Callable[[int], None], count: int) -> None:
    """Run `work` in each of `count` processes (in this one if it is one), and wait for their end.

    Args:
        work: takes the number of its process; picklable unless there is one.
        count: number of processes.

    Raises:
        FacetrackError: `work` has raised it.
        KeyboardInterrupt: this process was asked to stop, and so were the workers. The message is
            that of the first worker.
    """
    if count == 1:
        work(0)
        return
    with tempfile.TemporaryDirectory() as name, defer_interrupts() as stop:
        folder = Path(name)
        # Daemons: the end of this process is theirs.
        processes = spawn(_begin, (work, count, folder), nprocs=count, join=False, daemon=True)
        _wait(processes, folder, stop)


def _begin(rank: int, work: Callable[[int], None], count: int, folder: Path) -> None:
    """Run `work` in a process of its own."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    try:
        with interruptible(stop_signals(), PATIENCE):
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
            work(rank)
            dist.destroy_process_group()
    except KeyboardInterrupt as note:
        if rank == 0:
            (folder / NOTE).write_text(str(note), encoding="utf-8")
        raise
    except FacetrackError as error:
        (folder / ERROR).write_text(str(error), encoding="utf-8")
        raise


def _wait(processes: ProcessContext, folder: Path, stop: StopState) -> None:
    """Wait for the workers' end, and pass on a request to stop."""
    try:
        while not stop.requested:
            if processes.join(TICK):
                return
    except ProcessException:
        if not stop.requested:  # else the terminal has asked the workers, too
            if (error := folder / ERROR).is_file():
                raise FacetrackError(error.read_text(encoding="utf-8")) from None
            raise
    for process in processes.processes:
        if os.name != "nt":  # there, the console asks them; to terminate is to kill
            process.terminate()
    for process in processes.processes:
        process.join()
    note = folder / NOTE
    raise KeyboardInterrupt(note.read_text(encoding="utf-8") if note.is_file() else "")


def agree(*values: float) -> list[float]:
    """Return the first process's values in all processes."""
    if not dist.is_initialized():
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return [float(value) for value in shared]


def is_orphaned() -> bool:
    """Return True in a process whose main process has died without stopping it."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
