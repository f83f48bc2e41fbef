"""Track the videos of a batch on a Ray cluster; workers and machines may die meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.api.staging import staging_place
from facetrack.batch.heartbeat import Beat, Clock, Watch, kill_with_children
from facetrack.batch.messages import INTERVAL, Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.ray_cluster import (
    WorkerResources,
    check_device,
    connected,
    plan_workers,
    reason,
)
from facetrack.batch.ray_worker import Worker, WorkerConfig
from facetrack.batch.stores import Folder
from facetrack.defaults import STALL_TIMEOUT
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.version import __version__

MAX_ATTEMPTS = 3
"""Maximum number of times that a video is started whose worker or machine dies."""
SHUTDOWN_TIMEOUT = 15.0
"""Seconds that workers get to remove unfinished files at the end of a batch."""
MAX_IDLE_SECONDS = 600.0
"""Seconds to wait until the cluster has room for a worker, or grows."""


@dataclass
class _Job:
    """An attempt to track a video.

    Attributes:
        index: of the task.
        attempt: number of the attempt, from 1.
        place: folder of the attempt's files.
        result: Ray's reference to the worker's result.
        watch: notices if the worker stalls.
        reservation: keeps `place` reserved until it is closed.
        poll_reply: Ray's reference to the reply of a running `poll`, or None.
    """

    index: int
    attempt: int
    place: Path
    result: Any
    watch: Watch
    reservation: contextlib.ExitStack
    poll_reply: Any = None


@dataclass
class _WorkerHandle:
    """A worker that is starting, idle, or tracking a video.

    Attributes:
        actor: Ray's actor.
        ready: Ray's reference to the reply of `Worker.ready`.
        process: Ray's reference to the reply of `Worker.process`.
        job: the current attempt, or None.
    """

    actor: Any
    ready: Any
    process: Any
    job: _Job | None = None

    @property
    def awaited(self) -> Any:
        return self.ready if self.job is None else self.job.result


class RayCluster:
    """An engine that runs one worker per GPU of a Ray cluster, or `jobs` workers without GPUs.

    A worker loads its models once. Each attempt writes to its own folder. Only this process gives
    files their final names, and only those of the attempt whose result it received. So each video
    is written once, even if a machine that seemed dead continues.
    """

    def __init__(
        self, jobs: int, address: str | None, stall_timeout: float = STALL_TIMEOUT
    ) -> None:
        self.jobs, self.address, self.stall_timeout = jobs, address, stall_timeout
        self.notes: list[str] = []

    def track_all(
        self, tasks: Sequence[Task], options: Options, overwrite: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """Track all tasks; see `Engine.track_all`.

        Raises:
            FacetrackError: Ray is missing, cannot be reached, or has no room for a worker.
        """
        check_device(options)
        with connected(self.address) as ray, _probe(tasks[0]) as probe:
            device, count = plan_workers(ray, options, min(self.jobs, len(tasks)))
            config = WorkerConfig(
                options=options,
                overwrite=overwrite,
                threads=max(1, device.cpus),
                folder=os.getcwd(),
                variables={k: v for k, v in os.environ.items() if k.startswith("FACETRACK_")},
                version=__version__,
                store=tasks[0].store,
                probe=probe,
            )
            pool = _WorkerPool(
                *(ray, tasks, config, device, min(count, len(tasks)), self.notes),
                self.stall_timeout,
            )
            try:
                yield from pool.run()
            finally:
                pool.shut_down()


class _WorkerPool:
    """The workers of a batch and the queue of its videos."""

    def __init__(
        self,
        ray: Any,
        tasks: Sequence[Task],
        config: WorkerConfig,
        device: WorkerResources,
        count: int,
        notes: list[str],
        stall_timeout: float,
    ) -> None:
        self._ray, self._tasks, self._notes = ray, tasks, notes
        self._stall_timeout = stall_timeout
        self._waiting = deque((index, 1) for index in range(len(tasks)))
        # Ray itself must not retry: it does not know which videos are finished.
        remote = ray.remote(
            num_cpus=device.cpus,
            num_gpus=device.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,
            scheduling_strategy="SPREAD",
        )(Worker)
        self._device = device
        self._create_actor = lambda: remote.remote(config)
        self._handles: list[_WorkerHandle] = []
        self._failed_starts = 0  # successive workers that died before they were ready
        self._idle_since = time.monotonic()
        for _ in range(count):
            self._spawn()

    def run(self) -> Iterator[tuple[int, Message]]:
        """Track all videos and yield their messages."""
        last_poll = time.monotonic()
        clock = Clock(INTERVAL)
        while self._waiting or any(handle.job for handle in self._handles):
            if not self._handles:
                raise FacetrackError(self._notes.pop() if self._notes else "Ray has no worker.")
            awaited = [handle.awaited for handle in self._handles]
            done = set(self._ray.wait(awaited, num_returns=1, timeout=INTERVAL)[0])
            for handle in [handle for handle in self._handles if handle.awaited in done]:
                yield from self._collect_result(handle)
            if time.monotonic() - last_poll >= INTERVAL:
                last_poll = time.monotonic()
                for handle in self._handles:
                    yield from self._poll(handle)
            yield from self._end_stalled(clock.elapsed())
            self._check_room()

    def shut_down(self) -> None:
        """Let the workers remove unfinished files, then end them."""
        busy = [handle for handle in self._handles if handle.job is not None]
        for handle in busy:
            handle.actor.stop.remote()
        if busy:
            results = [handle.awaited for handle in busy]
            self._ray.wait(results, num_returns=len(results), timeout=SHUTDOWN_TIMEOUT)
        for handle in list(self._handles):
            self._release(handle)

    # ---------------------------------------------------------------- one worker

    def _spawn(self) -> None:
        actor = self._create_actor()
        self._handles.append(_WorkerHandle(actor, actor.ready.remote(), actor.process.remote()))

    def _release(self, handle: _WorkerHandle) -> None:
        self._handles.remove(handle)
        with contextlib.suppress(Exception):
            self._ray.kill(handle.actor)
        if handle.job is not None:
            self._discard(handle.job)

    def _discard(self, job: _Job) -> None:
        """Remove the files of an attempt that have no final names."""
        self._tasks[job.index].store.discard(job.place)
        job.reservation.close()

    def _replace(self, handle: _WorkerHandle) -> None:
        self._release(handle)
        if self._waiting:
            self._spawn()

    def _collect_result(self, handle: _WorkerHandle) -> Iterator[tuple[int, Message]]:
        """Handle the reply that a worker was awaited for, or its death."""
        if handle.job is None:
            self._check_ready(handle)
            return
        job, errors = handle.job, self._ray.exceptions
        try:
            outcome, remaining = self._ray.get(job.result)
        except (
            errors.RayTaskError
        ) as error:  # an internal error, which another attempt would repeat
            message = f"{type(error.cause).__name__} at {self._tasks[job.index].video}"
            outcome = Outcome("failed", message=f"{message}, which is an error of facetrack itself")
            outcome, remaining = _with_traceback(outcome, str(error)), []
        except errors.RayError as error:
            yield from self._handle_death(handle, job, reason(error))
            return
        for message in [*self._polled_messages(job), *remaining]:
            if not isinstance(message, Beat):
                yield job.index, message
        yield job.index, self._finish(job, outcome)
        handle.job = None
        self._assign_next(handle)

    def _check_ready(self, handle: _WorkerHandle) -> None:
        """Give a new worker its first video, unless it died or is unusable."""
        try:
            problem = self._ray.get(handle.ready)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts < MAX_ATTEMPTS:
                self._replace(handle)
            else:
                self._give_up(handle, f"A worker of Ray's died at once: {reason(error)}.")
            return
        self._failed_starts = 0
        if problem is not None:
            self._give_up(handle, problem)
            return
        self._assign_next(handle)

    def _give_up(self, handle: _WorkerHandle, note: str) -> None:
        """Continue without this worker. A new worker on the same machine would fail too."""
        self._release(handle)
        if note not in self._notes:
            self._notes.append(note)

    def _assign_next(self, handle: _WorkerHandle) -> None:
        if not self._waiting:
            self._release(handle)
            return
        index, attempt = self._waiting.popleft()
        task = self._tasks[index]
        place = staging_place(task.outputs.folder)
        reservation = contextlib.ExitStack()
        # The worker reports the reason if the folder cannot be written.
        with contextlib.suppress(FacetrackError):
            reservation.enter_context(task.store.reserved(place))
        result = handle.actor.track.remote(task, place)
        watch = Watch(self._stall_timeout)
        handle.job = _Job(index, attempt, place, result, watch, reservation)

    def _finish(self, job: _Job, outcome: Outcome) -> Outcome:
        """Give the files their final names."""
        task = self._tasks[job.index]
        try:
            if outcome.status == "done":
                task.store.publish(job.place, task.paths_in(job.place))
        except FacetrackError as error:
            outcome = Outcome("failed", message=str(error))
        finally:
            self._discard(job)
        return outcome

    def _handle_death(
        self, handle: _WorkerHandle, job: _Job, cause: str
    ) -> Iterator[tuple[int, Message]]:
        video = self._tasks[job.index].video
        if job.attempt < MAX_ATTEMPTS:
            # Append it to the queue's end, in case the video itself kills the worker.
            self._waiting.append((job.index, job.attempt + 1))
        else:
            yield (
                job.index,
                Outcome(
                    "failed",
                    message=f"the worker that tracked {video} ended by itself, "
                    f"{MAX_ATTEMPTS} times ({cause}).",
                ),
            )
        self._replace(handle)

    def _end_stalled(self, elapsed: float) -> Iterator[tuple[int, Message]]:
        """End workers that give no sign of work, as if they had died."""
        for handle in list(self._handles):
            job = handle.job
            if job is not None and job.watch.stalled(elapsed):
                self._kill(handle)
                cause = f"no sign of work for {self._stall_timeout:g} seconds, --stall-timeout"
                yield from self._handle_death(handle, job, cause)

    def _kill(self, handle: _WorkerHandle) -> None:
        """Kill a worker's process on this machine. Ray asks it to end, which it may not hear."""
        with contextlib.suppress(Exception):
            machine, pid = self._ray.get(handle.process, timeout=0)
            if machine == platform.node():
                kill_with_children(pid)

    # ---------------------------------------------------------------- messages

    def _poll(self, handle: _WorkerHandle) -> Iterator[tuple[int, Message]]:
        """Yield a busy worker's messages if its reply has arrived, and poll it again."""
        job = handle.job
        if job is None:
            return
        if job.poll_reply is not None:
            if not self._ray.wait([job.poll_reply], timeout=0)[0]:
                return
            for message in self._polled_messages(job):
                job.watch.hear(message)
                if not isinstance(message, Beat):
                    yield job.index, message
        job.poll_reply = handle.actor.poll.remote()

    def _polled_messages(self, job: _Job) -> list[Message | Beat]:
        if job.poll_reply is None:
            return []
        try:
            return list(self._ray.get(job.poll_reply, timeout=SHUTDOWN_TIMEOUT))
        except self._ray.exceptions.RayError:
            return []  # the worker is dead, which its result reports too
        finally:
            job.poll_reply = None

    def _check_room(self) -> None:
        now = time.monotonic()
        if any(handle.job for handle in self._handles):
            self._idle_since = now
        if now - self._idle_since > MAX_IDLE_SECONDS:
            gpu = " and a GPU" if self._device.gpus else ""
            raise FacetrackError(
                f"For {MAX_IDLE_SECONDS / 60:.0f} minutes Ray had no room for a worker, which "
                f"needs {self._device.cpus} CPUs{gpu}: `ray status` shows what uses them."
            )


@contextlib.contextmanager
def _probe(task: Task) -> Iterator[Path | None]:
    """Write a file among the results, by which workers check that they see the same folder.

    Yields its path, or None if it cannot be written.
    """
    folder = task.outputs.folder
    while isinstance(task.store, Folder) and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    path = staging_place(folder)
    try:
        with task.store.writing(path) as temporary:
            temporary.touch()
    except FacetrackError:
        yield None  # tracking the video will fail and report the reason
        return
    try:
        yield path
    finally:
        task.store.discard(path)


def _with_traceback(outcome: Outcome, text: str) -> Outcome:
    return Outcome("failed", message=outcome.message + ".", traceback=text)
