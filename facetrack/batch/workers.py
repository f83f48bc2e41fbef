"""Processes that track one video after another, and outlive none of their crashes."""

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

PATIENCE = 15.0
"""Seconds that a process gets to remove its unfinished files when all is to end."""


class Processes:
    """An engine: `jobs` processes of this machine.

    A process that dies fails its video alone: another takes its place. The cores are shared out
    among the processes, unless OMP_NUM_THREADS says otherwise.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.notes: list[str] = []

    def track_all(
        self, tasks: Sequence[Task], options: Options, again: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """As `Engine.track_all`."""
        jobs = min(self.jobs, len(tasks))
        threads = max(1, available_cores() // jobs) if jobs > 1 else None
        waiting = deque(enumerate(tasks))
        crew: dict[Connection, tuple[BaseProcess, int]] = {}
        try:
            for _ in range(jobs):
                connection, process = _start(options, threads, again)
                crew[connection] = process, _give(connection, waiting)
            while crew:
                ready = wait(list(crew))
                for connection in [one for one in crew if one in ready]:
                    process, index = crew[connection]
                    try:
                        message: Message = connection.recv()
                    except (EOFError, OSError):
                        message = Outcome("failed", message=_death(process, tasks[index]))
                        connection.close()
                        del crew[connection]
                        if waiting:
                            connection, process = _start(options, threads, again)
                            crew[connection] = process, _give(connection, waiting)
                    else:
                        if isinstance(message, Outcome):
                            if waiting:
                                crew[connection] = process, _give(connection, waiting)
                            else:
                                connection.close()
                                del crew[connection]
                                process.join(PATIENCE)
                    yield index, message
        finally:
            _end([process for process, _ in crew.values()])


def _start(options: Options, threads: int | None, again: bool) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, options, threads, again), daemon=True)
    with _ctrl_c_kept_from_children():
        process.start()
    there.close()
    return here, process


def _give(connection: Connection, waiting: deque[tuple[int, Task]]) -> int:
    index, task = waiting.popleft()
    # One that has died already is found out when it is listened to.
    with contextlib.suppress(OSError):
        connection.send(task)
    return index


def _death(process: BaseProcess, task: Task) -> str:
    process.join(PATIENCE)
    code = process.exitcode
    how = f"exit code {code}"
    if code is not None and code < 0:
        how = signal.Signals(-code).name
        if -code == getattr(signal, "SIGKILL", 0):
            how += ", as where memory runs out"
    return f"the process that tracked {task.video} ended by itself ({how})."


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _ctrl_c_kept_from_children() -> Iterator[None]:
    """A terminal sends Ctrl-C to all processes, but the first alone says what is to end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------- in the process


def _serve(connection: Connection, options: Options, threads: int | None, again: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible([signal.SIGTERM]) as interruptions:
        try:
            if threads is not None:
                limit_threads(threads)
            kept = ModelCache()
            while True:
                task: Task = connection.recv()
                place = contextlib.nullcontext(task.outputs.folder)
                connection.send(track_task(task, options, again, kept, connection.send, place))
        except (EOFError, OSError):
            return  # nobody is listening any more
        except BaseException:
            # Compiled libraries turn an interruption into errors of their own, so the flag counts.
            if not interruptions.requested:
                raise
