"""Track videos in worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from facetrack.api.staging import clear_stale
from facetrack.batch.heartbeat import (
    BEAT_INTERVAL,
    Beat,
    Clock,
    Watch,
    beating,
    kill_with_children,
)
from facetrack.batch.messages import Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.tracking import track_task
from facetrack.defaults import STALL_TIMEOUT
from facetrack.pipeline.models import ModelCache
from facetrack.pipeline.options import Options
from facetrack.runtime.interrupts import interruptible
from facetrack.runtime.threads import available_cores, limit_threads

SHUTDOWN_TIMEOUT = 15.0
"""Seconds that a process gets to remove its unfinished files at the end of a batch."""


MAX_TICK = 1.0
"""Seconds between two looks at the processes."""


class Processes:
    """An engine that runs `jobs` processes on this machine.

    If a process dies, or gives no sign of work for `stall_timeout` seconds (0: no limit), only its
    video fails, and a new process replaces it. The cores are divided among the processes, unless
    OMP_NUM_THREADS is set.
    """

    def __init__(self, jobs: int, stall_timeout: float = STALL_TIMEOUT) -> None:
        self.jobs, self.stall_timeout = jobs, stall_timeout
        self.notes: list[str] = []

    def track_all(
        self, tasks: Sequence[Task], options: Options, overwrite: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """Track all tasks; see `Engine.track_all`."""
        jobs = min(self.jobs, len(tasks))
        pool = _Pool(tasks, options, overwrite, jobs, self.stall_timeout)
        try:
            yield from pool.run()
        finally:
            pool.end()


@dataclass
class _Worker:
    """A process that tracks a video.

    Attributes:
        process: the process.
        index: of the video.
        watch: notices if the process stalls.
    """

    process: BaseProcess
    index: int
    watch: Watch


class _Pool:
    """The processes of a batch and the queue of its videos."""

    def __init__(
        self,
        tasks: Sequence[Task],
        options: Options,
        overwrite: bool,
        jobs: int,
        stall_timeout: float,
    ) -> None:
        self._tasks, self._stall_timeout = tasks, stall_timeout
        threads = max(1, available_cores() // jobs) if jobs > 1 else None
        beat_interval = min(BEAT_INTERVAL, stall_timeout / 4) if stall_timeout else BEAT_INTERVAL
        self._configuration = options, threads, overwrite, beat_interval
        self._jobs = jobs
        self._waiting = deque(enumerate(tasks))
        self._workers: dict[Connection, _Worker] = {}

    def run(self) -> Iterator[tuple[int, Message]]:
        """Track all videos and yield their messages."""
        for _ in range(self._jobs):
            self._start_worker()
        tick = min(MAX_TICK, self._stall_timeout / 4 or MAX_TICK)
        clock = Clock(tick)
        while self._workers:
            ready = wait(list(self._workers), tick)
            for connection in [c for c in self._workers if c in ready]:
                yield from self._receive(connection)
            elapsed = clock.elapsed()
            for connection, worker in list(self._workers.items()):
                if worker.watch.stalled(elapsed) and not connection.poll():
                    yield worker.index, self._end_stalled(connection, worker)

    def end(self) -> None:
        """End all processes; they remove their unfinished files first."""
        workers = list(self._workers.values())
        _terminate([worker.process for worker in workers])
        for worker in workers:
            clear_stale(self._tasks[worker.index].outputs.folder)

    def _receive(self, connection: Connection) -> Iterator[tuple[int, Message]]:
        """Handle the next message of a process, or its death."""
        worker = self._workers[connection]
        index = worker.index
        try:
            message: Message | Beat = connection.recv()
        except (EOFError, OSError):
            sentence = _death_message(worker.process, self._tasks[index])
            self._replace(connection)
            yield index, Outcome("failed", message=sentence)
            return
        worker.watch.hear(message)
        if isinstance(message, Beat):
            return
        if isinstance(message, Outcome):
            if self._waiting:
                worker.index = _send_next(connection, self._waiting)
                worker.watch.reset()
            else:
                connection.close()
                del self._workers[connection]
                worker.process.join(SHUTDOWN_TIMEOUT)
        yield index, message

    def _end_stalled(self, connection: Connection, worker: _Worker) -> Outcome:
        if worker.process.pid is not None:
            kill_with_children(worker.process.pid)
        worker.process.join(SHUTDOWN_TIMEOUT)
        self._replace(connection)
        return Outcome(
            "failed",
            message=f"the process that tracked {self._tasks[worker.index].video} gave no sign of "
            f"work for {self._stall_timeout:g} seconds (--stall-timeout) and was ended.",
        )

    def _replace(self, connection: Connection) -> None:
        """Forget a process that has ended, and start another one if videos are waiting."""
        worker = self._workers.pop(connection)
        connection.close()
        clear_stale(self._tasks[worker.index].outputs.folder)
        if self._waiting:
            self._start_worker()

    def _start_worker(self) -> None:
        connection, process = _start(*self._configuration)
        index = _send_next(connection, self._waiting)
        self._workers[connection] = _Worker(process, index, Watch(self._stall_timeout))


def _start(
    options: Options, threads: int | None, overwrite: bool, beat_interval: float
) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(
        target=_serve, args=(child_end, options, threads, overwrite, beat_interval), daemon=True
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


def _serve(
    connection: Connection,
    options: Options,
    threads: int | None,
    overwrite: bool,
    beat_interval: float,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = threading.Lock()

    def send(message: Message | Beat) -> None:
        with lock:  # a connection must not be used by two threads at once
            try:
                connection.send(message)
            except OSError:  # the main process has ended, and cannot ask this one to end
                signal.raise_signal(signal.SIGTERM)

    # A signal may come when the work has ended already.
    ending = contextlib.suppress(KeyboardInterrupt)
    with (
        ending,
        interruptible([signal.SIGTERM]) as interruptions,
        beating(send, beat_interval),
    ):
        try:
            if threads is not None:
                limit_threads(threads)
            models = ModelCache()
            # A signal is deferred while files are replaced.
            while not interruptions.requested:
                task: Task = connection.recv()
                folder_context = contextlib.nullcontext(task.outputs.folder)
                send(track_task(task, options, overwrite, models, send, folder_context))
        except (EOFError, OSError):
            return  # the main process has closed the connection
        except BaseException:
            # Compiled libraries turn an interruption into errors of their own, so only the flag can
            # be trusted.
            if not interruptions.requested:
                raise
