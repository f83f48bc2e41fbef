"""Processes that track one video after another, and outlive none of their crashes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from facetrack.batch.plan import Task
from facetrack.errors import FacetrackError
from facetrack.interrupts import interruptible
from facetrack.pipeline import Options

INTERVAL = 0.5
"""Seconds between two words about a video's progress."""
PATIENCE = 15.0
"""Seconds that a process gets to remove its unfinished files when all is to end."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Status = Literal["done", "skipped", "failed", "not reached"]


@dataclass(frozen=True)
class Outcome:
    """What came of one video.

    Attributes:
        status: "failed" has a `message`; "not reached" is left of an interrupted batch.
        frames: rows a face has; None where it is not known.
        seconds: wall-clock time; None of what was not tracked now.
        message: why it failed, in a sentence.
        traceback: of an error of facetrack itself, else empty.
        version: of the facetrack that made the files.
    """

    status: Status
    frames: int | None = None
    seconds: float | None = None
    message: str = ""
    traceback: str = ""
    warnings: list[str] = field(default_factory=list)
    version: str | None = None


@dataclass(frozen=True)
class Started:
    """A video's parts are made; what each says of itself, by kind."""

    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Progressed:
    """So many frames are done, of about so many."""

    done: int
    total: int | None


Message = Started | Progressed | Outcome


def cores() -> int:
    """How many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def track_all(
    tasks: Sequence[Task], options: Options, jobs: int, again: bool
) -> Generator[tuple[int, Message], None, None]:
    """Track videos in `jobs` processes; yields (index in `tasks`, what is new of it).

    Each task's last message is its Outcome. A process that dies fails its video alone: another
    takes its place. The cores are shared out among the processes, unless OMP_NUM_THREADS says
    otherwise. Closing the iterator, or an interruption, ends the processes, which remove
    their unfinished files.

    Args:
        again: track also what is complete.
    """
    jobs = min(jobs, len(tasks))
    threads = max(1, cores() // jobs) if jobs > 1 else None
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
                _share_cores(threads)
            while True:
                connection.send(_track(connection.recv(), options, again, connection))
        except (EOFError, OSError):
            return  # nobody is listening any more
        except BaseException:
            # Compiled libraries turn an interruption into errors of their own, so the flag counts.
            if not interruptions.told:
                raise


def _share_cores(threads: int) -> None:
    import cv2

    own = os.environ.get(THREAD_VARIABLES[0], "")
    if own.isascii() and own.isdigit():
        threads = int(own)
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    cv2.setNumThreads(threads)


def _track(task: Task, options: Options, again: bool, connection: Connection) -> Outcome:
    from facetrack import __version__
    from facetrack.api import track_to_files
    from facetrack.batch.records import complete

    said = 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= INTERVAL:
            said = now
            connection.send(Progressed(done, total))

    try:
        record = None if again else complete(task, options)
        if record is not None:
            return Outcome(
                "skipped",
                record["input"].get("frames"),
                version=record.get("versions", {}).get("facetrack"),
            )
        report = track_to_files(
            task.video,
            options,
            task.outputs,
            progress,
            lambda parts: connection.send(Started(parts)),
        )
    except FacetrackError as error:
        return Outcome("failed", message=str(error))
    except Exception as error:
        message = f"{type(error).__name__} at {task.video}, which is an error of facetrack itself."
        return Outcome("failed", message=message, traceback=traceback.format_exc())
    return Outcome(
        "done", report.frames, report.seconds, warnings=report.warnings, version=__version__
    )
