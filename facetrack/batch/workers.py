"""Track videos in worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from facetrack.batch.messages import Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.tracking import track_task
from facetrack.pipeline.models import ModelCache
from facetrack.pipeline.options import Options
from facetrack.runtime.interrupts import interruptible
from facetrack.runtime.threads import available_cores, limit_threads

SHUTDOWN_TIMEOUT = 15.0
"""Seconds that a process gets to remove its unfinished files at the end of a batch."""


class Processes:
    """An engine that runs `jobs` processes on this machine.

    If a process dies, only its video fails, and a new process replaces it. The cores are divided
    among the processes, unless OMP_NUM_THREADS is set.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.notes: list[str] = []

    def track_all(
        self, tasks: Sequence[Task], options: Options, overwrite: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """Track all tasks; see `Engine.track_all`."""
        jobs = min(self.jobs, len(tasks))
        threads = max(1, available_cores() // jobs) if jobs > 1 else None
        waiting = deque(enumerate(tasks))
        pool: dict[Connection, tuple[BaseProcess, int]] = {}
        try:
            for _ in range(jobs):
                connection, process = _start(options, threads, overwrite)
                pool[connection] = process, _send_next(connection, waiting)
            while pool:
                ready = wait(list(pool))
                for connection in [c for c in pool if c in ready]:
                    process, index = pool[connection]
                    try:
                        message: Message = connection.recv()
                    except (EOFError, OSError):
                        message = Outcome("failed", message=_death_message(process, tasks[index]))
                        connection.close()
                        del pool[connection]
                        if waiting:
                            connection, process = _start(options, threads, overwrite)
                            pool[connection] = process, _send_next(connection, waiting)
                    else:
                        if isinstance(message, Outcome):
                            if waiting:
                                pool[connection] = process, _send_next(connection, waiting)
                            else:
                                connection.close()
                                del pool[connection]
                                process.join(SHUTDOWN_TIMEOUT)
                    yield index, message
        finally:
            _terminate([process for process, _ in pool.values()])


def _start(
    options: Options, threads: int | None, overwrite: bool
) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(
        target=_serve, args=(child_end, options, threads, overwrite), daemon=True
    )
    with _sigint_blocked():
        process.start()
    child_end.close()
    return parent_end, process


def _send_next(connection: Connection, waiting: deque[tuple[int, Task]]) -> int:
    index, task = waiting.popleft()
    # If the process has died already, the next `recv` reports it.
    with contextlib.suppress(OSError):
        connection.send(task)
    return index


def _death_message(process: BaseProcess, task: Task) -> str:
    process.join(SHUTDOWN_TIMEOUT)
    code = process.exitcode
    reason = f"exit code {code}"
    if code is not None and code < 0:
        reason = signal.Signals(-code).name
        if -code == getattr(signal, "SIGKILL", 0):
            reason += ", perhaps out of memory"
    return f"the process that tracked {task.video} ended by itself ({reason})."


def _terminate(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + SHUTDOWN_TIMEOUT
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in new processes, to which a terminal sends Ctrl-C too.

    Only the main process decides when to end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------- in the process


def _serve(connection: Connection, options: Options, threads: int | None, overwrite: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible([signal.SIGTERM]) as interruptions:
        try:
            if threads is not None:
                limit_threads(threads)
            models = ModelCache()
            while True:
                task: Task = connection.recv()
                folder_context = contextlib.nullcontext(task.outputs.folder)
                connection.send(
                    track_task(task, options, overwrite, models, connection.send, folder_context)
                )
        except (EOFError, OSError):
            return  # the main process has closed the connection
        except BaseException:
            # Compiled libraries turn an interruption into errors of their own, so only the flag can
            # be trusted.
            if not interruptions.requested:
                raise
